#include "worker/engine/pipeline/public_scripts.h"

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace strata::pipeline {
namespace {

using program::Program;
using program::Tree;

bool HasEmptyTensor(const Program& program, const std::vector<program::ValueId>& ids) {
  for (const program::ValueId id : ids) {
    for (const int64_t size : program.value(id).type.sizes) {
      if (size == 0) return true;
    }
  }
  return false;
}

// verify_step.py takes a tensor, or a tuple or list; of what it holds it sees the tensors only.
bool IsDictOrDataclass(const Tree& tree) {
  return tree.kind == Tree::Kind::kDict || tree.kind == Tree::Kind::kDataclass;
}

std::vector<std::string> Reasons(const plan::Plan& plan, const plan::Node& node) {
  const Program& program = plan.program;
  std::vector<std::string> reasons;
  const bool whole = node.form == plan::NodeForm::kModule;
  if (whole && IsDictOrDataclass(program.invocations.at(static_cast<size_t>(node.scope)).output)) {
    reasons.push_back("its output is a dict or dataclass");
  }
  if (node.outputs.empty() || HasEmptyTensor(program, node.outputs)) reasons.push_back("its output is empty");
  const std::set<program::ValueId> inputs(node.inputs.begin(), node.inputs.end());
  std::set<int32_t> storages;
  for (const program::ValueId id : inputs) storages.insert(program.value(id).storage);
  bool random = false, writes = false;
  for (const program::CallId id : node.calls) {
    const program::Call& call = program.call(id);
    random |= (call.marks & program::kRandom) != 0;
    for (const program::ValueId old : call.mutated) writes |= storages.contains(program.value(old).storage);
  }
  if (random) reasons.push_back("it draws random numbers");
  if (writes) reasons.push_back("it changes its input");
  return reasons;
}

}  // namespace

std::string WhyPublicScriptsCannotJudge(const plan::Plan& plan) {
  std::vector<std::string> sentences;
  for (const plan::Component& component : plan.components) {
    if (component.level == plan::Level::kKernel) continue;
    const std::vector<std::string> reasons =
        Reasons(plan, plan.nodes.at(static_cast<size_t>(component.nodes.at(0))));
    if (!reasons.empty())
      sentences.push_back(absl::StrCat(component.stem, ": ", absl::StrJoin(reasons, ", ")));
  }
  if (plan.components.at(0).level == plan::Level::kKernel)
    sentences.push_back("the model is one kernel, so there is no step");
  return absl::StrJoin(sentences, "; ");
}

}  // namespace strata::pipeline
