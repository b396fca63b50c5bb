// The commands, once torch is loaded.
#include <cstdio>

#include "worker/engine/capture/capture.h"
#include "worker/engine/pipeline/engine_options.h"
#include "worker/engine/pipeline/scratch.h"
#include "worker/engine/pipeline/show.h"
#include "worker/engine/pipeline/verify_folder.h"
#include "worker/engine/pipeline/wire.h"

namespace strata::pipeline {
namespace {

// Progress on stdout, what user code printed on stderr with a bar before it.
class TerminalReporter : public Reporter {
 public:
  void Progress(std::string_view line) override {
    std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
    std::fflush(stdout);
  }
  void Output(Stream stream, std::string_view text) override {
    if (stream == Stream::kTraceback) return;  // comes with the failure
    std::fprintf(stderr, "| %.*s\n", static_cast<int>(text.size()), text.data());
  }
};

int Decompose(host::Zygote& zygote, const LocalJob& job) {
  TerminalReporter reporter;
  const int code = RunLocalJob(zygote, job, reporter);
  if (code == 0) std::printf("bundle in %s\nPASS\n", job.out_dir.c_str());
  if (code == 1) std::printf("bundle so far in %s\nFAIL\n", job.out_dir.c_str());
  return code;
}

int RunCommand(const EngineOptions& options) {
  absl::StatusOr<std::unique_ptr<host::Zygote>> zygote = host::Zygote::Start({.python = options.python});
  if (!zygote.ok()) {
    std::fprintf(stderr, "strata-engine: %s\n", std::string(zygote.status().message()).c_str());
    return 4;
  }
  switch (options.command) {
    case EngineOptions::Command::kDecompose:
      return Decompose(**zygote, options.job);
    case EngineOptions::Command::kCapture:
      return ShowProgram(**zygote, options.job);
    case EngineOptions::Command::kPlan:
      return ShowPlan(**zygote, options.job);
    case EngineOptions::Command::kVerify:
      return VerifyFolders(**zygote, options.folders, options.job, options.json);
    case EngineOptions::Command::kServe:
      return Serve(**zygote, options.wire_fd);
  }
  return 4;
}

}  // namespace
}  // namespace strata::pipeline

extern "C" int StrataEngineMain(const strata::pipeline::EngineOptions* options) {
  const int code = strata::pipeline::RunCommand(*options);
  strata::pipeline::RemoveScratchFolder();
  return code;
}
