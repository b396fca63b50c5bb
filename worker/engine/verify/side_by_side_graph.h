#pragma once
// One side's recording as a graph, for side_by_side.cc. Pure.

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "worker/engine/program/program.h"

namespace strata::verify {

using CallSet = std::set<program::CallId>;

// The values that a call gives, those that it writes to included.
std::vector<program::ValueId> MadeBy(const program::Call& call);

class Graph {
 public:
  explicit Graph(const program::Program& program);

  const program::Program& program() const { return program_; }
  program::CallId maker(program::ValueId id) const { return maker_[Index(id)]; }
  bool depends_on_input(program::ValueId id) const { return id >= 0 && depends_[Index(id)]; }
  bool is_float(program::ValueId id) const { return program::IsFloating(program_.value(id).type.dtype); }
  bool is_output(program::ValueId id) const { return outputs_.contains(id); }
  // Those that are live.
  const std::vector<program::CallId>& readers(program::ValueId id) const;

  // What must run for `wanted` where `given` are there; nullopt where a float of the model's input that is
  // not among them leads to it.
  std::optional<CallSet> Slice(const std::vector<program::ValueId>& wanted,
                               const std::set<program::ValueId>& given) const;

 private:
  static size_t Index(int32_t id) { return static_cast<size_t>(id); }

  const program::Program& program_;
  std::vector<program::CallId> maker_;  // by ValueId
  std::vector<bool> depends_;           // by ValueId
  std::map<program::ValueId, std::vector<program::CallId>> readers_;
  std::set<program::ValueId> outputs_;
};

}  // namespace strata::verify
