#include "worker/engine/pipeline/capture_source.h"

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "worker/engine/capture/capture.h"
#include "worker/engine/verify/compare.h"
#include "worker/engine/verify/runs.h"

namespace strata::pipeline {
namespace {

using program::Program;
using program::Tree;

Failure UserFailure(const TaskRun& run, std::string message) {
  return {.kind = FailureKind::kUser, .message = std::move(message), .file = run.source_name()};
}

Captured CaptureOnce(TaskRun& run, int64_t seed, const std::string& out_dir, bool record_init) {
  host::RunRequest request =
      verify::MakeRequest(run.context(), run.files().InputPath(run.task().source), "Model", out_dir);
  request.record = request.save_outputs = true;
  request.record_init = record_init;
  request.trials = {{.seed = seed}};
  const host::RunOutcome outcome = run.context().zygote.Run(request, run.context().limits);
  run.Report(outcome);
  if (outcome.status != host::RunStatus::kOk)
    return {FromRunner(outcome, run.source_name(), /*theirs=*/true), {}};
  absl::StatusOr<Program> program = verify::ReadProgram(out_dir, seed, /*workload=*/0);
  if (!program.ok()) return {FromStatus(program.status()), {}};
  return {std::nullopt, *std::move(program)};
}

Ending CheckOutput(TaskRun& run, const Program& program, const std::string& outputs_path) {
  if (program.invocations.empty()) return Failure{.message = "the capture recorded no call of the model"};
  const Tree& output = program.invocations[0].output;
  if (const std::string opaque = program::FirstOpaque(output); !opaque.empty()) {
    return UserFailure(run,
                       absl::StrCat("Model.forward returns an object of class ", opaque,
                                    "; return tensors, or tuples, lists, dicts or dataclasses of tensors"));
  }
  if (program::Tensors(output).empty())
    return UserFailure(run, "Model.forward returns no tensor, so there is nothing to decompose");
  absl::StatusOr<std::string> what = run.context().zygote.RunTrusted(
      [&]() -> absl::StatusOr<std::string> { return verify::CheckFinite(outputs_path); },
      run.context().limits);
  if (!what.ok()) return FromStatus(what.status());
  if (what->empty()) return std::nullopt;
  return UserFailure(run, absl::StrCat("Model.forward on get_inputs(): ", *what,
                                       "; no comparison can pass on it, correct the model or its inputs"));
}

}  // namespace

absl::StatusOr<std::string> ReadSource(TaskRun& run) {
  absl::StatusOr<std::string> source = ReadFile(run.files().InputPath(run.task().source), kMaxSourceBytes);
  if (source.status().code() == absl::StatusCode::kResourceExhausted) {
    return absl::InvalidArgumentError(
        absl::StrCat(run.source_name(), " is larger than ", kMaxSourceBytes >> 20,
                     " MiB; a model file holds code, keep weights and data out of it"));
  }
  if (source.ok() && source->empty()) {
    return absl::InvalidArgumentError(absl::StrCat(run.source_name(),
                                                   " is empty; submit a Python file that defines "
                                                   "Model, get_inputs() and get_init_inputs()"));
  }
  return source;
}

Captured CaptureTwice(TaskRun& run) {
  absl::StatusOr<TempDir> scratch = verify::MakeScratch(run.context());
  if (!scratch.ok()) return {FromStatus(scratch.status()), {}};
  Captured captures[2];
  for (int i = 0; i < 2; ++i) {
    const std::string out_dir = verify::Subfolder(*scratch, i == 0 ? "first" : "second");
    const int64_t seed = verify::kSeeds[i];
    captures[i] = CaptureOnce(run, seed, out_dir, /*record_init=*/i == 0);
    if (captures[i].failure) return captures[i];
    captures[i].failure =
        CheckOutput(run, captures[i].program, verify::TrialFile(out_dir, "outputs", seed, 0));
    if (captures[i].failure) return captures[i];
  }
  absl::StatusOr<Program> compared = capture::Compare(std::move(captures[0].program), captures[1].program);
  if (!compared.ok()) return {FromStatus(compared.status()), {}};
  return {std::nullopt, *std::move(compared)};
}

}  // namespace strata::pipeline
