#pragma once
// Programs of small models, written as one would write the model, and Plans as short outlines.

#include <string>
#include <vector>

#include "worker/engine/plan/plan.h"
#include "worker/engine/program/builder.h"

namespace strata::plan {

class Net {
 public:
  explicit Net(const std::string& source_file = "model.py") : b(source_file) {}

  // torch.nn modules at `path`: their weights, their scope, their operator.
  program::ValueId Linear(const std::string& path, program::ValueId x, int64_t out, bool bias = true);
  program::ValueId Conv(const std::string& path, program::ValueId x, int64_t out, int64_t kernel = 3,
                        int64_t stride = 1, int64_t padding = 1, bool bias = true);
  program::ValueId BatchNorm(const std::string& path, program::ValueId x);
  program::ValueId LayerNorm(const std::string& path, program::ValueId x);
  program::ValueId Embedding(const std::string& path, program::ValueId tokens, int64_t count, int64_t dim);
  program::ValueId ReluModule(const std::string& path, program::ValueId x, bool in_place = false);
  program::ValueId GeluModule(const std::string& path, program::ValueId x);
  program::ValueId Dropout(const std::string& path, program::ValueId x, double p = 0.1);
  program::ValueId MaxPool(const std::string& path, program::ValueId x);

  // A module of the model's own, entered and left.
  void Enter(const std::string& path, const std::string& class_name,
             const std::vector<program::ValueId>& args);
  void Leave(program::ValueId output) { b.Leave({output}); }

  // Operators where we stand.
  program::ValueId Relu(program::ValueId x);
  program::ValueId Softmax(program::ValueId x);
  program::ValueId Add(program::ValueId x, program::ValueId y);
  program::ValueId Mul(program::ValueId x, program::ValueId y);
  program::ValueId Scale(program::ValueId x, double factor);
  program::ValueId Plus(program::ValueId x, double number);
  program::ValueId Unary(const std::string& op, program::ValueId x);
  program::ValueId Matmul(program::ValueId x, program::ValueId y);
  program::ValueId View(program::ValueId x, const std::vector<int64_t>& sizes);
  program::ValueId Transpose(program::ValueId x, int64_t a, int64_t c);  // swaps dimensions, not negative
  program::ValueId RmsNorm(const std::string& path, program::ValueId x,
                           double eps = 1e-6);  // by hand, a module

  // Attention with q, k, v and out projections at `path`; `mask`, a bool buffer, may be kNoId.
  program::ValueId Attention(const std::string& path, program::ValueId x, int64_t heads, bool masked);

  std::vector<int64_t> sizes(program::ValueId x) { return b.value(x).type.sizes; }

  program::Builder b;
};

// The tree in lines "  ATTRIBUTE: STEM <level>", plumbing left out, a component's inside at its first place.
std::string Outline(const Plan& plan);
// MakePlan, which must succeed.
Plan PlanOf(program::Program program);
// The component of that stem; fails the test and returns [0] where there is none.
const Component& ComponentNamed(const Plan& plan, const std::string& stem);

}  // namespace strata::plan
