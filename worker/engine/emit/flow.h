#pragma once
// The order of business of one function: which steps belong to one source statement, which repeat over a
// module list, which value is used where.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "worker/engine/emit/function.h"

namespace strata::emit {

// A loop over one or more module lists. The body is steps [begin, end) of the flow; what iterations 1..n
// did is gone, their last values are renamed to iteration 0's.
struct Loop {
  size_t begin = 0, end = 0;
  std::vector<std::pair<std::string, std::string>> lists;  // {"self.blocks", "block"}
  // Value before the loop (read in iteration 0) and the value that each iteration leaves in its place.
  std::vector<std::pair<program::ValueId, program::ValueId>> carried;
};

struct Flow {
  std::vector<Step> steps;
  std::vector<Loop> loops;
  std::vector<program::ValueId> returns;
  std::vector<int32_t> statement;  // per step: number of the source statement, -1 unknown
  // Names assigned by the source statement that the step ends; empty unless they fit its results.
  std::vector<std::vector<std::string>> targets;
  std::map<program::ValueId, std::vector<size_t>> uses;  // step indices; steps.size() stands for return
  std::map<program::ValueId, size_t> producer;
  bool fold_all_returns = false;  // the results are wanted as expressions
  // Values of a loop's last iteration, under which calls after the loop know them -> iteration 0's.
  std::map<program::ValueId, program::ValueId> renamed;

  program::ValueId Canonical(program::ValueId id) const {
    const auto found = renamed.find(id);
    return found == renamed.end() ? id : found->second;
  }
  // What a step reads (canonical) and makes.
  std::vector<program::ValueId> Reads(const program::Program& program, const Step& step) const;
  static std::vector<program::ValueId> Makes(const program::Program& program, const Step& step);
  void CountUses(const program::Program& program);
};

Flow MakeFlow(const program::Program& program, const Function& function);

// The frames of a call that are the author's, outermost first: up to the first of torch's own.
std::vector<const program::Frame*> OwnFrames(const program::Call& call);

// Frames of torch's own Python files say nothing about the source.
bool IsTorchFile(const std::string& file);

}  // namespace strata::emit
