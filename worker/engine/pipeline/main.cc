// strata-engine: the only program that knows tensors. This file is its launcher; see engine_options.h.
#include <dlfcn.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "worker/engine/pipeline/engine_options.h"

namespace {

namespace fs = std::filesystem;
using strata::pipeline::EngineOptions;
using Command = EngineOptions::Command;

std::string DefaultPython() {
  const char* variable = std::getenv("STRATA_PYTHON");
  return variable && *variable ? variable : STRATA_DEFAULT_PYTHON;
}

void AddFile(CLI::App& command, EngineOptions& options) {
  command.add_option("FILE", options.job.file, "Model file: Model, get_inputs, get_init_inputs")->required();
}

void AddRunOptions(CLI::App& command, EngineOptions& options, uint64_t& wall, uint64_t& memory_mib) {
  command.add_option("--device", options.job.device, "cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}));
  command
      .add_option("--threads", options.job.numeric.threads, "torch's threads, part of the numeric setting")
      ->check(CLI::Range(1, 1024));
  command.add_option("--wall-seconds", wall, "Limit of one runner process");
  command.add_option("--memory-mib", memory_mib, "Limit of one runner's resident memory");
}

// Exit code, or -1 to go on.
int Parse(int argc, char** argv, EngineOptions& options) {
  CLI::App app{"Takes a PyTorch model apart and proves the parts"};
  app.set_version_flag("--version", STRATA_VERSION);
  app.require_subcommand(1);
  options.python = DefaultPython();
  app.add_option("--python", options.python,
                 "Interpreter that has torch (default: $STRATA_PYTHON, then the one built for)");
  uint64_t wall = 0, memory_mib = 0;

  CLI::App* decompose =
      app.add_subcommand("decompose", "Decompose FILE into a verified bundle")->fallthrough();
  AddFile(*decompose, options);
  AddRunOptions(*decompose, options, wall, memory_mib);
  decompose->add_option("-o,--out", options.job.out_dir, "Folder of the bundle")->required();
  decompose->add_flag("--replace", options.job.replace, "Replace an earlier bundle in that folder");
  decompose->add_flag("--keep-workspace", options.job.keep_workspace, "Leave OUT/.strata behind");
  CLI::App* capture = app.add_subcommand("capture", "Print what one forward executes")->fallthrough();
  AddFile(*capture, options);
  AddRunOptions(*capture, options, wall, memory_mib);
  CLI::App* plan = app.add_subcommand("plan", "Print the tree of components")->fallthrough();
  AddFile(*plan, options);
  AddRunOptions(*plan, options, wall, memory_mib);
  CLI::App* verify =
      app.add_subcommand("verify", "Judge DIR: exit 0 accepted, 1 rejected, 2 cannot be judged")
          ->fallthrough();
  verify->add_option("DIR", options.folders, "A bundle, or one step of one; of several the worst exit code")
      ->required();
  AddRunOptions(*verify, options, wall, memory_mib);
  verify->add_flag("--json", options.json, "The verdict as JSON; of several, one on each line");
  CLI::App* serve = app.add_subcommand("serve", "Work for an agent")->fallthrough();
  serve->add_option("--wire-fd", options.wire_fd, "Inherited descriptor of the wire")->required();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (decompose->parsed()) options.command = Command::kDecompose;
  if (capture->parsed()) options.command = Command::kCapture;
  if (plan->parsed()) options.command = Command::kPlan;
  if (verify->parsed()) options.command = Command::kVerify;
  if (serve->parsed()) options.command = Command::kServe;
  if (wall > 0) options.job.limits.wall = std::chrono::seconds(wall);
  if (memory_mib > 0) options.job.limits.memory_bytes = static_cast<int64_t>(memory_mib << 20);
  return -1;
}

bool CheckPython(const std::string& python) {
  if (access(python.c_str(), X_OK) == 0) return true;
  std::fprintf(
      stderr,
      "strata-engine: there is no interpreter at %s; run ./dev setup, or name one that has torch with "
      "--python or STRATA_PYTHON\n",
      python.c_str());
  return false;
}

using EngineMain = int (*)(const EngineOptions*);

EngineMain LoadEngine() {
  const fs::path library = fs::read_symlink("/proc/self/exe").parent_path() / "libstrata_engine.so";
  // Python's extension modules look their symbols up in the global scope.
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL);
  void* symbol = handle ? dlsym(handle, "StrataEngineMain") : nullptr;
  if (!symbol) {
    std::fprintf(
        stderr,
        "strata-engine: %s\nis torch still where this engine was built for it (%s)? run ./dev setup and "
        "./dev build\n",
        dlerror(), STRATA_DEFAULT_PYTHON);
  }
  return reinterpret_cast<EngineMain>(symbol);
}

}  // namespace

int main(int argc, char** argv) {
  EngineOptions options;
  if (const int code = Parse(argc, argv, options); code >= 0) return code;
  if (options.command == Command::kDecompose) {
    if (const std::string wrong = strata::pipeline::CheckLocalJob(options.job); !wrong.empty()) {
      std::fprintf(stderr, "error (user): %s\n", wrong.c_str());
      return 2;
    }
    std::printf("strata-engine %s: %s on %s\n", STRATA_VERSION, options.job.file.c_str(),
                options.job.device.c_str());
    std::fflush(stdout);
  }
  if (!CheckPython(options.python)) return 2;
  const EngineMain engine = LoadEngine();
  return engine ? engine(&options) : 4;
}
