#pragma once
// Server, worker and CLI as processes, for tests that go through all of them.

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/subprocess.h"

namespace strata::e2e {

struct CliResult {
  int code = -1;  // 128 + signal where a signal ended it
  std::string out, err;

  nlohmann::json json() const { return nlohmann::json::parse(out, nullptr, /*allow_exceptions=*/false); }
};

// Runs a program to its end; killed after `patience`.
CliResult RunProgram(const std::vector<std::string>& argv, std::chrono::seconds patience);

// A program in the background whose output is kept.
class Background {
 public:
  explicit Background(const std::vector<std::string>& argv);
  // Reads until the output holds `text`. False: it ended, or `patience` is over.
  bool AwaitOutput(const std::string& text, std::chrono::seconds patience);
  void Signal(int signal) { process_->Signal(signal); }
  CliResult Wait(std::chrono::seconds patience);
  pid_t pid() const { return process_->pid(); }

 private:
  void Read(std::chrono::milliseconds patience);
  std::unique_ptr<Subprocess> process_;
  CliResult result_;
};

// A server and a worker in a folder of their own, with the programs of STRATA_BIN_DIR.
class Service {
 public:
  // `engine`: the program the worker starts.
  explicit Service(std::string engine, int slots = 1);
  ~Service();

  void StartServer();
  void StartWorker();
  void KillServer();  // SIGKILL
  void KillWorker();
  bool ServerAlive() { return server_ != nullptr && !server_->Poll().has_value(); }
  bool WorkerAlive() { return worker_ != nullptr && !worker_->Poll().has_value(); }

  std::string address() const { return "unix:" + JoinPath(dir_.path(), "s.sock"); }
  std::string Path(const std::string& name) const { return JoinPath(dir_.path(), name); }
  // Writes a submission below the folder; returns its path.
  std::string Write(const std::string& name, const std::string& text) const;

  // strata ARGUMENTS --server ADDRESS.
  CliResult Cli(std::vector<std::string> arguments,
                std::chrono::seconds patience = std::chrono::seconds(120)) const;
  std::vector<std::string> CliArgv(std::vector<std::string> arguments) const;

 private:
  TempDir dir_;
  const std::string engine_;
  const int slots_;
  std::unique_ptr<Subprocess> server_, worker_;
};

// Path of one of the built programs.
std::string Program(const std::string& name);

}  // namespace strata::e2e
