#include "worker/agent/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "base/files.h"
#include "base/subprocess.h"

namespace strata::agent {
namespace {

std::string DefaultCacheDir() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::string base = cache != nullptr && *cache != '\0' ? cache
                           : home != nullptr                  ? JoinPath(home, ".cache")
                                                              : "/var/tmp";
  return JoinPath(base, "strata/worker");
}

std::string HostName() {
  char name[256] = "worker";
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

bool ParseOptions(int argc, char** argv, Options* options, int* exit_code) {
  CLI::App app("strata-worker: runs strata's tasks on this host, with one strata-engine per slot.");
  app.add_option("--server", options->server, "strata-server: unix:PATH or HOST:PORT")
      ->required()
      ->envname("STRATA_SERVER");
  app.add_option("--slots", options->slots, "tasks at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--device", options->device, "what to offer")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  options->engine = JoinPath(ProgramDir(), "strata-engine");
  app.add_option("--engine", options->engine, "the engine program")->capture_default_str();
  app.add_option("--python", options->python,
                 "interpreter whose environment has torch (default: the engine's)")
      ->envname("STRATA_PYTHON");
  options->cache_dir = DefaultCacheDir();
  app.add_option("--cache-dir", options->cache_dir, "contents and work folders; one agent at a time")
      ->capture_default_str();
  app.add_option("--cache-size", options->cache_bytes, "bound of the cache")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("8GiB");
  options->name = HostName();
  app.add_option("--name", options->name, "name in lists")->capture_default_str();
  app.add_option("--log-level", options->log_level)
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    *exit_code = app.exit(error) == 0 ? 0 : 2;
    return false;
  }
  return true;
}

}  // namespace strata::agent
