#pragma once
// Who makes and who reads each value of a Program, and what has to run before what.

#include <cstdint>
#include <vector>

#include "worker/engine/program/program.h"

namespace strata::plan {

class Dataflow {
 public:
  explicit Dataflow(const program::Program& program);

  // Calls that read `value`, ascending, each once.
  const std::vector<program::CallId>& readers(program::ValueId value) const { return readers_[Index(value)]; }
  // The call that made it (as a result, or by writing to an older value); kNoId for inputs, weights,
  // constants.
  program::CallId producer(program::ValueId value) const { return producer_[Index(value)]; }
  // It leaves the forward of the submitted model.
  bool is_output(program::ValueId value) const { return is_output_[Index(value)]; }
  // Calls that have to run before `call`: producers of what it reads, and, where memory is written in place,
  // earlier readers and writers of that memory.
  const std::vector<program::CallId>& needs(program::CallId call) const { return needs_[Index(call)]; }
  // Values that a call makes: its results and what it writes to, without kNoId.
  std::vector<program::ValueId> makes(program::CallId call) const;
  // Nothing that the submitted model was given reaches this call; it draws no random numbers.
  bool independent_of_input(program::CallId call) const { return independent_[Index(call)]; }
  bool independent_value(program::ValueId value) const;

  const program::Program& program() const { return program_; }

 private:
  static size_t Index(int32_t id) { return static_cast<size_t>(id); }
  void AddHazards();

  const program::Program& program_;
  std::vector<std::vector<program::CallId>> readers_;
  std::vector<program::CallId> producer_;
  std::vector<bool> is_output_;
  std::vector<std::vector<program::CallId>> needs_;
  std::vector<bool> independent_;
};

// True if no path leads from a call of `calls` (ascending) out of the set and back into it: the set can be
// one component.
bool IsConvex(const Dataflow& flow, const std::vector<program::CallId>& calls);

}  // namespace strata::plan
