#pragma once
// The name of one kernel: operation, shape signature, settings that are not torch's default, dtypes.

#include <string>
#include <utility>
#include <vector>

#include "worker/engine/plan/dataflow.h"
#include "worker/engine/plan/plan.h"

namespace strata::plan {

struct KernelName {
  std::string operation;  // "conv2d"
  std::string dims;       // "64x128", "" where it has none
  // Settings in order, by what they set: {"kernel", "3x3"}, {"stride", "s2"}, {"bias", "nobias"}.
  std::vector<std::pair<std::string, std::string>> settings;
  std::string dtypes;  // "fp32", "i64_fp32"

  std::string Stem() const;  // "conv2d_64x128_3x3_s2_nobias_fp32"
};

KernelName NameKernel(const Dataflow& flow, const Node& node);

// Every number and word among the settings of its calls, in order: what tells two formulas apart.
std::vector<std::string> LiteralsOf(const Dataflow& flow, const Node& node);

}  // namespace strata::plan
