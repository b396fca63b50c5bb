#include "worker/engine/host/run_message.h"

#include <string.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/capped_text.h"
#include "base/files.h"
#include "nlohmann/json.hpp"

namespace strata::host {
namespace {

using nlohmann::json;
using Cause = ChildEnd::Cause;

constexpr size_t kMaxTextBytes = 64 << 10;

std::string TextField(const json& message, const char* key) {
  const auto found = message.find(key);
  if (found == message.end() || !found->is_string()) return "";
  return ValidUtf8(found->get_ref<const std::string&>().substr(0, kMaxTextBytes));
}

int IntField(const json& message, const char* key) {
  const auto found = message.find(key);
  if (found == message.end() || !found->is_number_integer()) return 0;
  return static_cast<int>(std::clamp<int64_t>(found->get<int64_t>(), 0, 1 << 30));
}

// The innermost frame of the user's folder in the last traceback that faulthandler wrote.
void LocateFromTrace(std::string_view trace, const std::string& user_file, RunOutcome& outcome) {
  const std::string dir = DirName(user_file) + "/";
  bool located = false;
  for (const absl::string_view line : absl::StrSplit(absl::string_view(trace.data(), trace.size()), '\n')) {
    if (line.find("most recent call first") != absl::string_view::npos)
      located = false;  // another dump begins
    constexpr absl::string_view kFile = "  File \"", kLine = "\", line ";
    const size_t end_of_file = line.rfind(kLine);
    if (located || line.substr(0, kFile.size()) != kFile || end_of_file == absl::string_view::npos) continue;
    const absl::string_view file = line.substr(kFile.size(), end_of_file - kFile.size());
    if (file.substr(0, dir.size()) != dir || file.find("/site-packages/") != absl::string_view::npos)
      continue;
    const std::string number(line.substr(end_of_file + kLine.size()));
    outcome.file = ValidUtf8(BaseName(std::string(file)));
    outcome.line = std::clamp(atoi(number.c_str()), 0, 1 << 30);
    located = true;
  }
}

std::string Gibibytes(int64_t bytes) {
  return absl::StrFormat("%.2f GiB", static_cast<double>(bytes) / (1 << 30));
}

// "in forward, at mlp.py:12"
std::string Where(const RunOutcome& outcome) {
  std::string text = absl::StrCat("in stage '", outcome.stage, "'");
  if (!outcome.file.empty()) absl::StrAppend(&text, ", at ", outcome.file, ":", outcome.line);
  return text;
}

void FillFromLimit(const ChildEnd& end, const Limits& limits, RunOutcome& outcome) {
  const std::string where = Where(outcome);
  switch (end.cause) {
    case Cause::kWall:
      outcome.status = RunStatus::kWallLimit;
      outcome.message =
          absl::StrCat("the run took longer than its limit of ", limits.wall.count(), " s, ", where,
                       "; it was killed: look for an endless loop, or raise the wall time limit");
      break;
    case Cause::kMemory:
      outcome.status = RunStatus::kMemoryLimit;
      outcome.message =
          absl::StrCat("the run used more memory than its limit of ", Gibibytes(limits.memory_bytes), ", ",
                       where, "; it was killed: make the model smaller, or raise the memory limit");
      break;
    case Cause::kMachineMemory:
      outcome.status = RunStatus::kMemoryLimit;
      outcome.message =
          absl::StrCat("the machine ran out of memory while the run used ", Gibibytes(end.peak_rss_bytes),
                       ", ", where, "; it was killed: run it where more memory is free");
      break;
    case Cause::kOutput:
      outcome.status = RunStatus::kOutputLimit;
      outcome.message = absl::StrCat("the run printed more than its limit of ", limits.output_bytes,
                                     " bytes, ", where, "; it was killed: print less");
      break;
    case Cause::kProcesses:
      outcome.status = RunStatus::kProcessLimit;
      outcome.message = absl::StrCat("the run had more than ", limits.processes, " processes at one time, ",
                                     where, "; it was killed: a model must not start processes");
      break;
    case Cause::kResultTooLong:
      outcome.status = RunStatus::kOutputLimit;
      outcome.message =
          absl::StrCat("the run wrote more than ", kMaxResultBytes, " bytes into the runner's own pipe, ",
                       where, "; a model must not write to descriptors that it did not open");
      break;
    case Cause::kEnded:
      break;
  }
}

// It ended without its message.
void FillFromExit(const ChildEnd& end, const Limits& limits, RunOutcome& outcome) {
  const std::string where = Where(outcome);
  if (end.signal == SIGXFSZ) {
    outcome.status = RunStatus::kFileLimit;
    outcome.message =
        absl::StrCat("the run wrote a file larger than its limit of ", limits.file_bytes, " bytes, ", where);
    return;
  }
  outcome.status = RunStatus::kExited;
  outcome.exit_code = end.exit_code;
  outcome.signal = end.signal;
  outcome.message =
      end.signal != 0
          ? absl::StrCat("the process died of signal ", end.signal, " (", strsignal(end.signal), ") ", where,
                         "; the traceback on stderr or a smaller input may tell why")
          : absl::StrCat("the process ended with exit code ", end.exit_code, " ", where,
                         " before the run was over; a model must return and not call os._exit or the like");
}

void FillFromMessage(const json& message, RunOutcome& outcome) {
  const std::string status = TextField(message, "status");
  outcome.exit_code = IntField(message, "exit_code");
  outcome.status = status == "ok"       ? RunStatus::kOk
                   : status == "raised" ? RunStatus::kRaised
                   : status == "exited" ? RunStatus::kExited
                   : status == "memory" ? RunStatus::kMemoryLimit
                                        : RunStatus::kInternal;
  if (outcome.status == RunStatus::kOk) return;
  outcome.error_type = TextField(message, "error_type");
  outcome.message = TextField(message, "message");
  outcome.traceback = TextField(message, "traceback");
  outcome.file = TextField(message, "file");
  outcome.line = IntField(message, "line");
}

}  // namespace

std::string RequestJson(const RunRequest& request) {
  json trials = json::array();
  for (const Trial& trial : request.trials) {
    trials.push_back({{"seed", trial.seed},
                      {"workload", trial.workload},
                      {"inputs_path", trial.inputs_path},
                      {"weights_path", trial.weights_path},
                      {"inputs_only", trial.inputs_only},
                      {"again", trial.again}});
  }
  json calls = json::array();
  for (const ChildCall& call : request.calls) {
    calls.push_back({{"name", call.name},
                     {"class_name", call.class_name},
                     {"init", call.init},
                     {"weights_path", call.weights_path},
                     {"weight_map", call.weight_map},
                     {"inputs_path", call.inputs_path},
                     {"generator_path", call.generator_path},
                     {"seed", call.seed}});
  }
  const json message = {{"file", request.file},
                        {"import_dir", request.import_dir},
                        {"class_name", request.class_name},
                        {"device", request.device},
                        {"threads", request.numeric.threads},
                        {"build_seed", request.build_seed},
                        {"weights_path", request.weights_path},
                        {"weight_map_path", request.weight_map_path},
                        {"allow_unmapped", request.allow_unmapped},
                        {"afresh", request.afresh},
                        {"trials", trials},
                        {"record", request.record},
                        {"record_init", request.record_init},
                        {"children_dir", request.children_dir},
                        {"calls", calls},
                        {"save_weights", request.save_weights},
                        {"save_inputs", request.save_inputs},
                        {"save_outputs", request.save_outputs},
                        {"draws", request.draws},
                        {"as_main", request.as_main},
                        {"call_run_tests", request.call_run_tests},
                        {"argv", request.argv},
                        {"out_dir", request.out_dir}};
  return message.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
}

RunOutcome OutcomeOf(const RunRequest& request, const Limits& limits, const std::string& stage,
                     ChildEnd end) {
  RunOutcome outcome;
  outcome.stage = stage;
  outcome.seconds = end.seconds;
  outcome.peak_rss_bytes = end.peak_rss_bytes;
  outcome.stdout_text = std::move(end.out);
  outcome.stderr_text = std::move(end.err);
  const json message = json::parse(end.result, nullptr, /*allow_exceptions=*/false);
  const bool finished =
      end.cause == Cause::kEnded && end.signal == 0 && end.exit_code == 0 && message.is_object();
  if (finished) {
    FillFromMessage(message, outcome);
    return outcome;
  }
  LocateFromTrace(end.trace, request.file, outcome);
  if (end.cause == Cause::kEnded) {
    FillFromExit(end, limits, outcome);
  } else {
    FillFromLimit(end, limits, outcome);
  }
  return outcome;
}

}  // namespace strata::host
