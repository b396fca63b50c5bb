#include "worker/engine/pipeline/show.h"

#include <cstdio>
#include <filesystem>

#include "base/files.h"
#include "worker/engine/pipeline/capture_source.h"
#include "worker/engine/pipeline/scratch.h"
#include "worker/engine/program/printer.h"

namespace strata::pipeline {
namespace {

class Silent : public Reporter {
 public:
  void Progress(std::string_view) override {}
  void Output(Stream, std::string_view text) override {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
  }
};

int Fail(const Failure& failure) {
  std::fprintf(stderr, "%s:%d: error (%s): %s\n", failure.file.c_str(), failure.line,
               FailureName(failure.kind), failure.message.c_str());
  return failure.kind == FailureKind::kOurs ? 4 : 2;
}

// Prints what `show` makes of the captured program; its failure is the exit code's.
int Show(host::Zygote& zygote, const LocalJob& job,
         const std::function<absl::StatusOr<std::string>(program::Program)>& show) {
  const std::string file = std::filesystem::absolute(job.file).string();
  const Task task{.kind = TaskKind::kPrepare,
                  .component = "",
                  .source = BaseName(file),
                  .input_dir = DirName(file),
                  .output_dir = DirName(file),
                  .device = job.device,
                  .numeric = job.numeric,
                  .limits = job.limits};
  Silent silent;
  verify::Findings findings;
  TaskRun run(zygote, findings, task, silent, ScratchFolder());
  Captured captured = CaptureTwice(run);
  if (captured.failure) return Fail(*captured.failure);
  absl::StatusOr<std::string> text = show(std::move(captured.program));
  if (!text.ok()) return Fail(FromStatus(text.status()));
  std::fwrite(text->data(), 1, text->size(), stdout);
  return 0;
}

}  // namespace

int ShowProgram(host::Zygote& zygote, const LocalJob& job) {
  return Show(zygote, job, [](program::Program program) -> absl::StatusOr<std::string> {
    return program::Print(program);
  });
}

int ShowPlan(host::Zygote& zygote, const LocalJob& job) {
  return Show(zygote, job, [](program::Program program) -> absl::StatusOr<std::string> {
    absl::StatusOr<plan::Plan> plan = plan::MakePlan(std::move(program));
    if (!plan.ok()) return plan.status();
    return plan::Print(*plan);
  });
}

}  // namespace strata::pipeline
