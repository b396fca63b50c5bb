#pragma once
// One component file as it was recorded alone, in the terms of plan/: of which level it is, what its kernels
// are, its name and its identity. Pure.

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "worker/engine/plan/dataflow.h"
#include "worker/engine/plan/kernel_names.h"
#include "worker/engine/plan/parts.h"
#include "worker/engine/plan/plan.h"
#include "worker/engine/program/program.h"

namespace strata::verify {

class ExecutedComponent {
 public:
  // `recorded` outlives it. Where plan/ refuses it (no operator, no output) there is an `error`.
  explicit ExecutedComponent(const program::Program& recorded);
  ExecutedComponent(const ExecutedComponent&) = delete;
  ExecutedComponent& operator=(const ExecutedComponent&) = delete;

  const std::string& error() const { return error_; }
  bool ok() const { return error_.empty(); }

  // After plan's normalising passes. Only where ok().
  const program::Program& program() const { return plan_.program; }
  const plan::Dataflow& flow() const { return *flow_; }
  const std::vector<plan::Kernel>& kernels() const { return kernels_; }
  // What plan/ would make of this file, had it been submitted.
  plan::Level level() const { return plan_.nodes[0].level; }
  // The whole file as one node of that level: inputs, outputs, what it holds, all calls.
  plan::Node WholeAs(plan::Level level) const;

  // The stems that plan/ gives to what it takes this file apart into, the file itself included.
  std::set<std::string> PlannedStems() const;

  // Calls of no kernel that are arithmetic, ascending.
  const std::vector<program::CallId>& arithmetic() const { return arithmetic_; }
  // The calls of kernels, one flat list of siblings: for Wiring.
  std::vector<plan::Part> FlatParts() const;
  plan::PartContext context() const { return {plan_.program, *flow_, kernels_}; }

  // The parameter that a kernel without operators returns, else kNoId. Also where not ok().
  program::ValueId returned_parameter() const;
  const program::Program& recorded() const { return recorded_; }

  // Everything that tells two files apart but their names and their input sizes; "" where that is unknown.
  std::string Identity() const;

 private:
  const program::Program& recorded_;
  std::string error_;
  plan::Plan plan_;
  std::unique_ptr<plan::Dataflow> flow_;
  std::vector<plan::Kernel> kernels_;
  std::vector<program::CallId> arithmetic_;
};

// "fp32[2,3] i64[4]" of the arguments of the forward, as runs.h's ArgumentShapes spells them.
std::string InputShapes(const program::Program& program);
// The same in an order that does not depend on how arguments are passed.
std::string SortedShapes(const std::string& shapes);
// Elements of all tensors in such a list; 0 where it is none.
int64_t VolumeOf(const std::string& shapes);

// The tensors of the arguments and of the output, in order.
std::vector<program::ValueId> InputsOf(const program::Program& program);
std::vector<program::ValueId> OutputsOf(const program::Program& program);

}  // namespace strata::verify
