#pragma once
// The command line of strata-worker.

#include <cstdint>
#include <string>

namespace strata::agent {

struct Options {
  std::string server;  // gRPC target: "unix:PATH", "HOST:PORT"
  int slots = 1;
  std::string device = "auto";  // auto, cpu, cuda
  std::string engine;           // strata-engine; by default beside this program
  std::string python;           // handed to the engine; empty: the engine's own choice
  std::string cache_dir;        // resolved, belongs to one agent at a time
  int64_t cache_bytes = int64_t{8} << 30;
  std::string name;  // for people; by default the host's
  std::string log_level = "info";
};

// On failure (or --help) prints what is to be said; `exit_code` is then what to exit with.
bool ParseOptions(int argc, char** argv, Options* options, int* exit_code);

}  // namespace strata::agent
