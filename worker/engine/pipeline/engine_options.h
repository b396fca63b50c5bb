#pragma once
// What the command line says, as plain data between the launcher (main.cc) and the engine proper.
//
// The launcher links no torch: loading it takes 300 ms, and the first line has to be out before. It opens
// libstrata_engine.so beside itself and calls StrataEngineMain.

#include <string>
#include <vector>

#include "worker/engine/pipeline/local_job.h"

namespace strata::pipeline {

struct EngineOptions {
  enum class Command { kDecompose, kCapture, kPlan, kVerify, kServe };
  Command command = Command::kDecompose;
  std::string python;  // resolved interpreter
  LocalJob job;        // kDecompose; the others use file, device, numeric and limits
  // kVerify
  std::vector<std::string> folders;
  bool json = false;
  int wire_fd = -1;  // kServe
};

}  // namespace strata::pipeline

extern "C" int StrataEngineMain(const strata::pipeline::EngineOptions* options);
