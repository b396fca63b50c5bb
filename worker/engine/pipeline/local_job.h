#pragma once
// The whole job graph of one submission in this process: `strata-engine decompose FILE --out DIR`.

#include <string>

#include "worker/engine/pipeline/task.h"

namespace strata::pipeline {

struct LocalJob {
  std::string file;     // the submission
  std::string out_dir;  // of the bundle; made if missing. DIR/.strata holds the workspace while it runs
  std::string device = "cpu";
  host::NumericSetting numeric;
  host::Limits limits;
  bool replace = false;         // an earlier bundle in out_dir is replaced
  bool keep_workspace = false;  // DIR/.strata stays, to see what the tasks passed on
};

// 0: every gate passed. 1: a gate failed, the bundle so far is in out_dir. 2: bad input, or a limit.
// 4: a defect of strata. What failed goes to stderr, progress to `reporter`.
int RunLocalJob(host::Zygote& zygote, const LocalJob& job, Reporter& reporter);

// The check that needs no interpreter, before anything is started; "" or what is wrong.
std::string CheckLocalJob(const LocalJob& job);

// Removes what a bundle consists of from `dir`, and nothing else.
void RemoveOldBundle(const std::string& dir);

}  // namespace strata::pipeline
