// strata: the command line client. Each command is in command_NAME.cc.
#include <clocale>
#include <cstdio>
#include <cstdlib>

#include "client/cli/command.h"
#include "client/cli/interrupt.h"
#include "client/cli/status.h"

namespace strata::cli {
namespace {

constexpr char kFooter[] =
    "Exit codes: 0 every gate passed, or accepted; 1 a gate failed (the bundle so far is delivered), or\n"
    "rejected; 2 bad usage or input, what cannot be judged, or somebody else cancelled the job; 3 the "
    "service\n"
    "is not available; 130 interrupted (Ctrl-C).\n"
    "STRATA_SERVER is the default of --server, but for decompose and verify.";

int Main(int argc, char** argv) {
  CLI::App app("strata takes a PyTorch model apart and proves that the parts compute the same numbers.",
               "strata");
  app.require_subcommand(1);
  app.footer(kFooter);
  app.set_version_flag("--version", STRATA_VERSION);
  Action action;
  for (auto* add : {AddDecompose, AddVerify, AddSubmit, AddWatch, AddStatus, AddList, AddTree, AddSteps,
                    AddLog, AddCoverage, AddGet, AddCancel, AddWorkers}) {
    add(app, &action);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitPass : kExitUsage;
  }
  const absl::StatusOr<int> code = action();
  if (code.ok()) return *code;
  std::fflush(stdout);
  std::fprintf(stderr, "error: %s\n", std::string(code.status().message()).c_str());
  return ExitCodeOf(code.status());
}

}  // namespace
}  // namespace strata::cli

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "C.UTF-8");                // file names in archives
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);  // what goes wrong is said by us
  strata::cli::WatchForInterrupt();
  return strata::cli::Main(argc, argv);
}
