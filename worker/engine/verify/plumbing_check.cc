#include "worker/engine/verify/plumbing_check.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "worker/engine/program/plumbing.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using program::InvocationId;
using program::kNoId;
using program::Module;
using program::ModuleId;
using program::Program;
using program::ValueKind;

std::string BaseName(const std::string& path) { return fs::path(path).filename().string(); }

// Whether the call reads a parameter that no child gave it: a child may return the parameter that it holds.
bool TakesParameter(const Program& program, const program::Call& call,
                    const std::set<program::ValueId>& given) {
  const auto reads = program::Reads(call);
  return std::any_of(reads.begin(), reads.end(), [&](program::ValueId id) {
    return program.value(id).kind == ValueKind::kParameter && !given.contains(id);
  });
}

void CollectTensors(const program::Tree& tree, std::set<program::ValueId>& out) {
  if (tree.kind == program::Tree::Kind::kTensor) out.insert(tree.value);
  for (const program::Tree& item : tree.items) CollectTensors(item, out);
}

ordered_json Violation(const program::Call& call, const std::string& reason) {
  ordered_json violation = {{"operator", program::OperatorName(call.op)}};
  const bool known = !call.frames.empty();
  violation["file"] = known ? BaseName(call.frames.back().file) : "";
  violation["line"] = known ? call.frames.back().line : 0;
  violation["function"] = known ? call.frames.back().function : "";
  violation["reason"] = reason;
  return violation;
}

// Modules that the model holds below a child belong to the child.
std::vector<bool> BelowChildren(const Program& program, const ChildScopes& scopes) {
  std::vector<bool> below(program.modules.size(), false);
  std::vector<ModuleId> todo;
  for (const Module& module : program.modules) {
    if (scopes.IsChildModule(module.id)) todo.push_back(module.id);
  }
  while (!todo.empty()) {
    const ModuleId id = todo.back();
    todo.pop_back();
    if (below[static_cast<size_t>(id)]) continue;
    below[static_cast<size_t>(id)] = true;
    for (const auto& [name, child] : program.modules[static_cast<size_t>(id)].children) todo.push_back(child);
  }
  return below;
}

std::string Dotted(const Module& module, const std::string& name) {
  const std::string path = module.paths.empty() ? "" : module.paths[0];
  return path.empty() ? name : path + "." + name;
}

// The buffers of the original, each to be taken once.
class OriginalBuffers {
 public:
  explicit OriginalBuffers(const Program& original) : original_(original) {
    for (const program::Value& value : original.values) {
      if (value.kind == ValueKind::kBuffer) free_.insert(value.id);
    }
  }

  bool Take(const program::Value& buffer) {
    for (const program::ValueId id : free_) {
      const program::Value& own = original_.value(id);
      if (own.type.dtype != buffer.type.dtype || own.type.sizes != buffer.type.sizes) continue;
      if (own.data != buffer.data) continue;
      free_.erase(id);
      return true;
    }
    return false;
  }

 private:
  const Program& original_;
  std::set<program::ValueId> free_;
};

}  // namespace

ChildScopes::ChildScopes(const Program& program, const std::string& children_dir)
    : is_child_(program.modules.size(), false), child_of_(program.invocations.size(), kNoId) {
  const fs::path folder = fs::path(children_dir).lexically_normal();
  for (const Module& module : program.modules) {
    const fs::path file = fs::path(module.file).lexically_normal();
    is_child_[static_cast<size_t>(module.id)] =
        module.id != 0 && !module.file.empty() && file.parent_path() == folder;
  }
  for (const program::Invocation& invocation : program.invocations) {
    const auto index = static_cast<size_t>(invocation.id);
    if (invocation.parent != kNoId) child_of_[index] = child_of_[static_cast<size_t>(invocation.parent)];
    if (child_of_[index] != kNoId || invocation.module == kNoId) continue;
    if (!is_child_[static_cast<size_t>(invocation.module)]) continue;
    child_of_[index] = invocation.id;
    const std::string& file = program.modules[static_cast<size_t>(invocation.module)].file;
    runs_.push_back({invocation.id, fs::path(file).stem().string()});
  }
}

ordered_json ExecutedViolations(const Program& refactored, const ChildScopes& scopes) {
  ordered_json violations = ordered_json::array();
  std::set<program::ValueId> given;
  for (const ChildScopes::ChildRun& run : scopes.runs()) {
    CollectTensors(refactored.invocations[static_cast<size_t>(run.invocation)].output, given);
  }
  for (const program::Call& call : refactored.calls) {
    if (scopes.Inside(call.scope)) continue;
    if (program::Classify(refactored, call) == program::OpClass::kCompute) {
      violations.push_back(Violation(call, "a compute operator must be in a child"));
    } else if (TakesParameter(refactored, call, given)) {
      violations.push_back(
          Violation(call, "an operator that takes a parameter must be in the child that holds it"));
    }
  }
  return violations;
}

ordered_json ParameterViolations(const Program& refactored, const Program& original,
                                 const ChildScopes& scopes, const std::string& own_file) {
  const auto is_parent = [&](const Module& module) {
    return module.id == 0 || module.is_container ||
           (!own_file.empty() &&
            fs::path(module.file).lexically_normal() == fs::path(own_file).lexically_normal());
  };
  ordered_json violations = ordered_json::array();
  const std::vector<bool> below = BelowChildren(refactored, scopes);
  OriginalBuffers original_buffers(original);
  for (const Module& module : refactored.modules) {
    if (below[static_cast<size_t>(module.id)]) continue;
    if (!is_parent(module)) {
      violations.push_back({{"module", module.paths.empty() ? "" : module.paths[0]},
                            {"reason", module.class_name + " is not imported from children/"}});
    }
    for (const auto& [name, value] : module.parameters) {
      violations.push_back(
          {{"parameter", Dotted(module, name)}, {"reason", "a parameter must belong to a child"}});
    }
    for (const auto& [name, value] : module.buffers) {
      if (value >= 0 && original_buffers.Take(refactored.value(value))) continue;
      violations.push_back({{"buffer", Dotted(module, name)},
                            {"reason", "a buffer outside the children must be the original's own"}});
    }
  }
  return violations;
}

}  // namespace strata::verify
