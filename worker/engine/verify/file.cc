#include <cmath>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "worker/engine/verify/runs.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {
namespace {

// The word, alone or in a sentence ("PASS: all shapes", "[PASS] gru", "PASSED").
bool PrintsPass(const std::string& text) {
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && (absl::ascii_isalnum(text[i]) || text[i] == '_')) continue;
    const std::string_view word = std::string_view(text).substr(begin, i - begin);
    if (word == "PASS" || word == "PASSED") return true;
    begin = i + 1;
  }
  return false;
}

// The last line that says what went wrong: run_tests() prints "FAIL: what".
std::string FailLine(const std::string& text) {
  std::string found;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(line, "FAIL")) found = std::string(line);
  }
  return found;
}

std::string WhatFailed(const host::RunOutcome& outcome) {
  if (outcome.status != host::RunStatus::kOk && outcome.status != host::RunStatus::kExited)
    return Describe(outcome);
  const std::string said = FailLine(outcome.stdout_text);
  if (!said.empty()) return said;
  if (outcome.signal != 0) return absl::StrCat("killed by signal ", outcome.signal);
  return absl::StrCat("exit code ", outcome.exit_code, ", and it does not print PASS");
}

}  // namespace

FileVerdict VerifyFile(const Context& context, const std::string& file, bool by_import, bool may_write) {
  FileVerdict verdict;
  const bool remember = context.findings != nullptr && !by_import;
  const std::string key = remember ? Findings::Key(context, file) : "";
  if (remember && context.findings->Passed(key)) {
    verdict.pass = true;
    verdict.outcome.status = host::RunStatus::kOk;
    return verdict;
  }
  absl::StatusOr<TempDir> scratch = MakeScratch(context);
  if (!scratch.ok()) {
    verdict.message = std::string(scratch.status().message());
    return verdict;
  }
  host::RunRequest request = MakeRequest(context, file, "Model", Subfolder(*scratch, "out"));
  request.as_main = !by_import;
  request.read_only = !may_write;
  request.call_run_tests = by_import;
  verdict.outcome = context.zygote.Run(request, context.limits);
  const host::RunOutcome& outcome = verdict.outcome;
  const bool ended = outcome.status == host::RunStatus::kOk || outcome.status == host::RunStatus::kExited;
  verdict.pass = ended && outcome.exit_code == 0 && outcome.signal == 0 && PrintsPass(outcome.stdout_text);
  if (!verdict.pass) verdict.message = WhatFailed(outcome);
  if (verdict.pass && remember) context.findings->NotePassed(key);
  return verdict;
}

}  // namespace strata::verify
