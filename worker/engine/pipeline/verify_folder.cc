#include "worker/engine/pipeline/verify_folder.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "worker/engine/pipeline/scratch.h"

namespace strata::pipeline {
namespace {

using nlohmann::ordered_json;

void PrintList(const char* title, const ordered_json& list) {
  if (!list.is_array() || list.empty()) return;
  std::printf("%s\n", title);
  for (const ordered_json& item : list) std::printf("  %s\n", item.get<std::string>().c_str());
}

void PrintForPeople(const ordered_json& verdict) {
  for (const ordered_json& v : verdict["violations"]) {
    std::printf("%s: %s", v["rule"].get<std::string>().c_str(), v["file"].get<std::string>().c_str());
    if (v["line"].get<int>() > 0) std::printf(":%d", v["line"].get<int>());
    std::printf("\n    %s\n    -> %s\n", v["what"].get<std::string>().c_str(),
                v["advice"].get<std::string>().c_str());
  }
  if (verdict.contains("error")) std::printf("%s\n", verdict["error"].get<std::string>().c_str());
  PrintList("notes:", verdict["notes"]);
  PrintList("not judged:", verdict["not_judged"]);
}

int ExitCode(verify::Decision decision) {
  switch (decision) {
    case verify::Decision::kAccepted:
      return 0;
    case verify::Decision::kRejected:
      return 1;
    case verify::Decision::kCannotJudge:
      break;
  }
  return 2;
}

// Cannot be judged: what is no verdict, as one.
ordered_json NoVerdict(const std::string& folder, const absl::Status& status) {
  return {{"verdict", verify::DecisionName(verify::Decision::kCannotJudge)},
          {"folder", std::filesystem::path(folder).lexically_normal().filename().string()},
          {"violations", ordered_json::array()},
          {"notes", ordered_json::array()},
          {"not_judged", ordered_json::array()},
          {"error", std::string(status.message())}};
}

bool IsOurs(const absl::Status& status) {
  return !absl::IsInvalidArgument(status) && !absl::IsDeadlineExceeded(status) &&
         !absl::IsResourceExhausted(status) && !absl::IsNotFound(status);
}

void Print(const ordered_json& verdict, const std::string& folder, bool json, bool several) {
  if (json) {
    const std::string text =
        verdict.dump(several ? -1 : 1, ' ', false, ordered_json::error_handler_t::replace);
    std::printf("%s\n", text.c_str());
  } else {
    PrintForPeople(verdict);
    std::printf("%s: %s\n", folder.c_str(), verdict["verdict"].get<std::string>().c_str());
  }
  std::fflush(stdout);
}

}  // namespace

JudgedFolder JudgeFolder(const verify::Context& context, const std::string& folder) {
  absl::StatusOr<verify::FolderVerdict> verdict = verify::VerifyFolder(context, folder);
  if (!verdict.ok())
    return {.verdict = NoVerdict(folder, verdict.status()), .is_defect = IsOurs(verdict.status())};
  return {.decision = verdict->decision, .verdict = std::move(verdict->json)};
}

int VerifyFolders(host::Zygote& zygote, const std::vector<std::string>& folders, const LocalJob& options,
                  bool json) {
  verify::Findings findings;
  const verify::Context context{.zygote = zygote,
                                .limits = options.limits,
                                .numeric = options.numeric,
                                .device = options.device,
                                .scratch_dir = ScratchFolder(),
                                .findings = &findings};
  int worst = 0;
  for (const std::string& folder : folders) {
    const JudgedFolder judged =
        JudgeFolder(context, std::filesystem::absolute(folder).lexically_normal().string());
    Print(judged.verdict, folder, json, folders.size() > 1);
    worst = std::max(worst, judged.is_defect ? 4 : ExitCode(judged.decision));
  }
  return worst;
}

}  // namespace strata::pipeline
