#pragma once
// The claim replayed: the refactored model's recordings executed again by the judge, from the weights and
// inputs that the judge handed out. What a child gets and gives there is what it must give alone.
//
// Starts tensor work: use it in a Zygote::RunTrusted fork only. The header itself is free of torch.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "worker/engine/program/program.h"
#include "worker/engine/verify/plumbing_check.h"
#include "worker/engine/verify/ran_claim.h"

namespace strata::verify {

// One call of a child in one trial, as the judge's replay met it.
struct ChildRun {
  size_t trial = 0;
  program::InvocationId invocation = program::kNoId;
  std::string stem;        // of its file
  std::string class_name;  // of its module
  std::string path;        // of its module in the refactored model
  std::string name;        // unique; files are named by it
  std::string inputs_path, generator_path;
  std::string
      weights_path;    // "" : those that the trial began with; else a file keyed by the child's own keys
  std::string digest;  // of what it returned and of its arguments after the call
};

struct ReplayedTrial {
  std::string problem;  // "" where the replay gives what the refactored model returned
  std::vector<ChildRun> children;
};

// Replays trial `index`; leaves the arguments of every child call as files in `border_dir`.
absl::StatusOr<ReplayedTrial> ReplayTrial(const RanClaim& claim, size_t index, const std::string& border_dir);

// Bytes that ReplayTrial would leave, and the children's outputs: what a batch of trials is measured by.
int64_t BorderBytes(const RanClaim& claim, size_t index);

// The digest that a runner's files of one child call have, comparable to ChildRun::digest.
absl::StatusOr<std::string> DigestOfChildFiles(const std::string& outputs_path,
                                               const std::string& after_path);

// To and from text, because a trusted fork returns text.
nlohmann::json ToJson(const ReplayedTrial& trial);
ReplayedTrial ReplayedTrialFromJson(const nlohmann::json& json);

}  // namespace strata::verify
