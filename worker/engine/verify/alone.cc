#include "worker/engine/verify/alone.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "worker/engine/verify/runs.h"

namespace strata::verify {
namespace {

using nlohmann::json;

constexpr int64_t kMaxBorderBytes = int64_t{2} << 30;  // that lie in the scratch folder at one time
constexpr int64_t kMaxConstructionBytes = int64_t{64} << 20;

// How the refactored model made its children, as its runner says: {module path: {args, kwargs}}.
json ReadConstructions(const std::string& refactored_dir) {
  const absl::StatusOr<std::string> text = ReadFile(refactored_dir + "/children.json", kMaxConstructionBytes);
  if (!text.ok()) return json::object();
  json parsed = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  return parsed.is_object() ? parsed : json::object();
}

std::string ChildFile(const RanClaim& claim, const std::string& stem) {
  return BaseName(claim.children_dir) + "/" + stem + ".py";
}

// Original key -> the keys of the module at `path` that get its value.
json ChildWeightMap(const RanClaim& claim, const std::string& path) {
  json map = json::object();
  const std::string prefix = path.empty() ? "" : path + ".";
  for (const auto& [key, source] : claim.weight_sources) {
    if (!absl::StartsWith(key, prefix)) continue;
    if (!map.contains(source)) map[source] = json::array();
    map[source].push_back(key.substr(prefix.size()));
  }
  return map;
}

// {key: [key]} for a file that has the child's own keys.
json OwnKeys(const json& map) {
  json own = json::object();
  for (const auto& [source, keys] : map.items()) {
    for (const json& key : keys) own[key.get<std::string>()] = json::array({key});
  }
  return own;
}

class Alone {
 public:
  Alone(const Context& context, const RanClaim& claim, const TempDir& scratch)
      : context_(context), claim_(claim), scratch_(scratch) {
    constructions_ = ReadConstructions(claim.refactored_dir);
  }

  absl::StatusOr<AloneResult> Run() {
    size_t begin = 0;
    while (begin < claim_.trials.size() && result_.failure.status == host::RunStatus::kOk) {
      size_t end = begin;
      for (int64_t bytes = 0; end < claim_.trials.size(); ++end) {
        bytes += BorderBytes(claim_, end);
        if (end > begin && bytes > kMaxBorderBytes) break;
      }
      STRATA_RETURN_IF_ERROR(RunBatch(begin, end));
      begin = end;
    }
    return std::move(result_);
  }

 private:
  absl::Status RunBatch(size_t begin, size_t end) {
    const std::string dir = Subfolder(scratch_, absl::StrCat("borders_", begin));
    STRATA_ASSIGN_OR_RETURN(const std::vector<ChildRun> runs, Replay(begin, end, dir));
    std::map<std::string, std::vector<const ChildRun*>> by_file;
    for (const ChildRun& run : runs) by_file[run.stem].push_back(&run);
    std::vector<std::pair<const ChildRun*, std::string>> ran;  // and where its files lie
    for (const auto& [stem, calls] : by_file) {
      const std::string out = Subfolder(scratch_, absl::StrCat("alone_", begin, "_", stem));
      const host::RunOutcome outcome = RunFile(stem, calls, out);
      if (!Judge(stem, outcome)) continue;
      for (const ChildRun* run : calls) ran.emplace_back(run, out);
    }
    STRATA_RETURN_IF_ERROR(Compare(ran));
    for (const auto& [stem, calls] : by_file) {
      RemoveTree(absl::StrCat(scratch_.path(), "/alone_", begin, "_", stem)).IgnoreError();
    }
    return RemoveTree(dir);
  }

  absl::StatusOr<std::vector<ChildRun>> Replay(size_t begin, size_t end, const std::string& dir) {
    STRATA_ASSIGN_OR_RETURN(const std::string text, context_.zygote.RunTrusted(
                                                        [&]() -> absl::StatusOr<std::string> {
                                                          json trials = json::array();
                                                          for (size_t i = begin; i < end; ++i) {
                                                            STRATA_ASSIGN_OR_RETURN(
                                                                const ReplayedTrial trial,
                                                                ReplayTrial(claim_, i, dir));
                                                            trials.push_back(ToJson(trial));
                                                          }
                                                          return trials.dump();
                                                        },
                                                        JudgingLimits(context_)));
    std::vector<ChildRun> runs;
    const json trials = json::parse(text);
    for (size_t i = 0; i < trials.size(); ++i) {
      ReplayedTrial trial = ReplayedTrialFromJson(trials[i]);
      if (!trial.problem.empty()) {
        Add("refactored.py", absl::StrCat("seed ", claim_.trials[begin + i].seed, ": ", trial.problem),
            "let the model do nothing but call its children and move tensors between them");
      }
      runs.insert(runs.end(), trial.children.begin(), trial.children.end());
    }
    return runs;
  }

  host::RunOutcome RunFile(const std::string& stem, const std::vector<const ChildRun*>& calls,
                           const std::string& out) {
    host::RunRequest request =
        MakeRequest(context_, absl::StrCat(claim_.children_dir, "/", stem, ".py"), "Model", out);
    request.hidden = claim_.hidden;
    for (const ChildRun* run : calls) request.calls.push_back(CallOf(*run));
    std::reverse(request.calls.begin(), request.calls.end());
    return context_.zygote.Run(request, context_.limits);
  }

  host::ChildCall CallOf(const ChildRun& run) const {
    const TrialRun& trial = claim_.trials[run.trial];
    host::ChildCall call{.name = run.name,
                         .class_name = run.class_name,
                         .weights_path = trial.weights_path,
                         .weight_map = ChildWeightMap(claim_, run.path),
                         .inputs_path = run.inputs_path,
                         .generator_path = run.generator_path,
                         .seed = trial.seed};
    if (!run.weights_path.empty()) {
      call.weights_path = run.weights_path;
      call.weight_map = OwnKeys(call.weight_map);
    }
    if (constructions_.contains(run.path)) call.init = constructions_[run.path];
    return call;
  }

  // Whether its files can be compared.
  bool Judge(const std::string& stem, const host::RunOutcome& outcome) {
    const std::string file = ChildFile(claim_, stem);
    switch (outcome.status) {
      case host::RunStatus::kOk:
        return true;
      case host::RunStatus::kRaised:
        Add(file,
            absl::StrCat("alone, on the inputs that it has in the parent, it raises: ", Describe(outcome)),
            "a child may depend on nothing but its arguments, its weights and its constructor's arguments",
            outcome.line);
        return false;
      default:
        break;
    }
    if (outcome.status == host::RunStatus::kExited && outcome.signal == 0) {
      result_.violations.push_back({rules::kProcess, file, outcome.line,
                                    absl::StrCat("it ends its process: ", Describe(outcome)),
                                    "a model computes and returns"});
      return false;
    }
    result_.failure = outcome;
    result_.failed_file = file;
    return false;
  }

  absl::Status Compare(const std::vector<std::pair<const ChildRun*, std::string>>& ran) {
    STRATA_ASSIGN_OR_RETURN(const std::string text,
                            context_.zygote.RunTrusted(
                                [&]() -> absl::StatusOr<std::string> {
                                  json digests = json::array();
                                  for (const auto& [run, out] : ran) {
                                    STRATA_ASSIGN_OR_RETURN(
                                        const std::string digest,
                                        DigestOfChildFiles(absl::StrCat(out, "/outputs_", run->name, ".bin"),
                                                           absl::StrCat(out, "/after_", run->name, ".bin")));
                                    digests.push_back(digest);
                                  }
                                  return digests.dump();
                                },
                                JudgingLimits(context_)));
    const json digests = json::parse(text);
    for (size_t i = 0; i < ran.size(); ++i) {
      const ChildRun& run = *ran[i].first;
      if (digests[i] == run.digest || !told_.insert(run.stem).second) continue;
      Add(ChildFile(claim_, run.stem),
          absl::StrCat("'", run.path, "', seed ", claim_.trials[run.trial].seed,
                       ": alone, on the inputs that it has in the parent, it gives other bits than there"),
          "a child may depend on nothing but its arguments, its weights and its constructor's arguments");
    }
    return absl::OkStatus();
  }

  void Add(std::string file, std::string what, std::string advice, int line = 0) {
    result_.violations.push_back({rules::kReplay, std::move(file), line, std::move(what), std::move(advice)});
  }

  const Context& context_;
  const RanClaim& claim_;
  const TempDir& scratch_;
  json constructions_;
  std::set<std::string> told_;  // one violation a file is enough
  AloneResult result_;
};

}  // namespace

absl::StatusOr<AloneResult> ReplayClaim(const Context& context, const RanClaim& claim,
                                        const TempDir& scratch) {
  return Alone(context, claim, scratch).Run();
}

}  // namespace strata::verify
