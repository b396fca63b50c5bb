#include "worker/engine/verify/plumbing_check.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/places.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using program::InvocationId;
using program::kNoId;
using program::Module;
using program::ModuleId;
using program::Program;
using program::ValueKind;

Violation PlumbingViolation(const Program& program, const program::Call& call, std::string what,
                            std::string advice) {
  return {rules::kPlumbing, FileOf(program, call), LineOf(program, call),
          absl::StrCat(program::OperatorName(call.op), ": ", what), std::move(advice)};
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
  if (name.empty()) return path;
  return path.empty() ? name : path + "." + name;
}

// The buffers of the original and the tensors that it keeps as plain attributes, each to be taken once.
class OriginalBuffers {
 public:
  explicit OriginalBuffers(const Program& original) : original_(original) {
    for (const program::Value& value : original.values) {
      const bool kept = value.kind == ValueKind::kConstant && !value.is_wrapped_number && !value.data.empty();
      if (value.kind == ValueKind::kBuffer || kept) free_.insert(value.id);
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
        module.id != 0 && !module.file.empty() && file.parent_path() == folder && file.stem() != "__init__";
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

namespace {

// What the calls outside the children make of one another, in execution order.
class Outside {
 public:
  Outside(const Program& program, const ChildScopes& scopes) : program_(program), scopes_(scopes) {
    for (const ChildScopes::ChildRun& run : scopes.runs()) {
      const auto given = program::Tensors(program.invocations[static_cast<size_t>(run.invocation)].output);
      given_.insert(given.begin(), given.end());
    }
    const std::vector<bool> below = BelowChildren(program, scopes);
    for (const Module& module : program.modules) {
      if (!below[static_cast<size_t>(module.id)]) {
        for (const auto& [name, value] : module.buffers) own_buffers_.insert(value);
      }
    }
  }

  void Check(const program::Call& call) {
    using program::Besides;
    const program::OpClass op_class = program::Classify(program_, call);
    const Besides besides = program::ClassifyBesides(program_, call);
    if (op_class == program::OpClass::kCompute && besides == Besides::kNothing) {
      Add(call, "a compute operator is executed outside the children", "move it into a child");
    } else if (TakesWeight(call)) {
      Add(call, "an operator outside the children takes a parameter or a buffer of a child",
          "move it into the child that holds it");
    } else if (ReadsComparison(call) &&
               (op_class == program::OpClass::kArithmetic || besides == Besides::kPower)) {
      Add(call, "arithmetic with the result of a comparison is compute", "move both into a child");
    }
    const bool passes_on = op_class != program::OpClass::kCompute || besides == Besides::kMaskLogic;
    if (besides == Besides::kComparison || (passes_on && ReadsComparison(call))) {
      compared_.insert(call.results.begin(), call.results.end());
      compared_.insert(call.mutated_to.begin(), call.mutated_to.end());
    }
  }

  std::vector<Violation> violations;

 private:
  void Add(const program::Call& call, const char* what, const char* advice) {
    violations.push_back(PlumbingViolation(program_, call, what, advice));
  }

  bool ReadsComparison(const program::Call& call) const {
    const auto reads = program::Reads(call);
    return std::any_of(reads.begin(), reads.end(), [&](auto id) { return compared_.contains(id); });
  }

  // A child may return the parameter that it holds.
  bool TakesWeight(const program::Call& call) const {
    const auto reads = program::Reads(call);
    return std::any_of(reads.begin(), reads.end(), [&](program::ValueId id) {
      if (given_.contains(id)) return false;
      const ValueKind kind = program_.value(id).kind;
      return kind == ValueKind::kParameter || (kind == ValueKind::kBuffer && !own_buffers_.contains(id));
    });
  }

  const Program& program_;
  const ChildScopes& scopes_;
  std::set<program::ValueId> given_, own_buffers_, compared_;
};

// Whether a call from `begin` on, or the model's output, reads this memory other than as one of `returned`.
bool ReadLater(const Program& program, program::CallId begin, int32_t storage,
               const std::set<program::ValueId>& returned) {
  const auto hits = [&](program::ValueId id) {
    return id >= 0 && program.value(id).storage == storage && !returned.contains(id);
  };
  for (auto id = static_cast<size_t>(begin); id < program.calls.size(); ++id) {
    const auto reads = program::Reads(program.calls[id]);
    if (std::any_of(reads.begin(), reads.end(), hits)) return true;
  }
  const auto outputs = program::Tensors(program.invocations[0].output);
  return std::any_of(outputs.begin(), outputs.end(), hits);
}

// The numbers among the arguments of a call that a forward may compute with: of plumbing the fractions only,
// because counts and positions are what routing is made of.
std::vector<double> NumbersOf(const Program& program, const program::Call& call) {
  const bool moves = program::Classify(program, call) == program::OpClass::kPlumbing ||
                     program::ClassifyBesides(program, call) == program::Besides::kIndexing;
  std::vector<double> numbers;
  for (const program::NamedArgument& argument : call.args) {
    using Kind = program::Argument::Kind;
    const program::Argument& a = argument.value;
    if (a.kind == Kind::kDouble) numbers.push_back(a.real);
    if (a.kind == Kind::kInt && !moves) numbers.push_back(static_cast<double>(a.integer));
    if (a.kind != Kind::kValue || !program.value(a.value).is_wrapped_number) continue;
    for (const uint8_t byte : program.value(a.value).data) numbers.push_back(byte);
  }
  return numbers;
}

}  // namespace

std::vector<Violation> ExecutedViolations(const Program& refactored, const ChildScopes& scopes) {
  Outside outside(refactored, scopes);
  for (const program::Call& call : refactored.calls) {
    if (!scopes.Inside(call.scope)) outside.Check(call);
  }
  return std::move(outside.violations);
}

std::vector<Violation> NumberViolations(const Program& one, const Program& other, const ChildScopes& scopes) {
  std::vector<Violation> violations;
  const size_t calls = std::min(one.calls.size(), other.calls.size());
  for (size_t i = 0; i < calls; ++i) {
    const program::Call &a = one.calls[i], &b = other.calls[i];
    if (a.op != b.op || a.scope != b.scope) break;  // another branch: nothing to compare by position
    if (scopes.Inside(a.scope) || NumbersOf(one, a) == NumbersOf(other, b)) continue;
    violations.push_back(PlumbingViolation(one, a, "it is given a number that Python read from a tensor",
                                           "leave .item() to control flow, hand the tensor itself on"));
  }
  return violations;
}

std::vector<Violation> ConstantViolations(const Program& one, const Program& other,
                                          const Program& original_of_other) {
  std::vector<Violation> violations;
  std::set<std::vector<uint8_t>> known;
  for (const program::Value& value : original_of_other.values) {
    if (value.kind == ValueKind::kConstant) known.insert(value.data);
  }
  const size_t calls = std::min(one.calls.size(), other.calls.size());
  for (size_t i = 0; i < calls; ++i) {
    const program::Call &a = one.calls[i], &b = other.calls[i];
    const auto reads = program::Reads(a), reads_now = program::Reads(b);
    if (a.op != b.op || a.scope != b.scope || reads.size() != reads_now.size()) break;
    for (size_t k = 0; k < reads.size(); ++k) {
      const program::Value &then = one.value(reads[k]), &now = other.value(reads_now[k]);
      if (then.kind != ValueKind::kConstant || now.kind != ValueKind::kConstant) continue;
      if (now.is_wrapped_number || then.data == now.data || known.contains(now.data)) continue;
      violations.push_back({rules::kReplay, FileOf(one, a), LineOf(one, a),
                            absl::StrCat(program::OperatorName(a.op),
                                         " reads a tensor that no recorded operator made and that differs "
                                         "from trial to trial"),
                            "compute with torch's operators, hold weights as parameters"});
    }
  }
  return violations;
}

std::vector<Violation> HiddenChanges(const Program& refactored, const Program& original,
                                     const ChildScopes& scopes) {
  std::set<std::string> in_place;
  for (const program::Call& call : original.calls) {
    if (!call.mutated.empty()) in_place.insert(program::OperatorName(call.op));
  }
  std::vector<Violation> violations;
  for (const ChildScopes::ChildRun& run : scopes.runs()) {
    const program::Invocation& child = refactored.invocations[static_cast<size_t>(run.invocation)];
    const auto given = program::TensorsOfArguments(child), output = program::Tensors(child.output);
    const std::set<program::ValueId> returned(output.begin(), output.end());
    std::set<int32_t> handed;
    for (const program::ValueId id : given) handed.insert(refactored.value(id).storage);
    for (program::CallId id = child.begin; id < child.end; ++id) {
      const program::Call& call = refactored.call(id);
      if (in_place.contains(program::OperatorName(call.op))) continue;
      for (const program::ValueId written : call.mutated) {
        const int32_t storage = written < 0 ? program::kNoId : refactored.value(written).storage;
        if (!handed.contains(storage) || !ReadLater(refactored, child.end, storage, returned)) continue;
        violations.push_back(
            {rules::kInputs, FileOf(refactored, call), LineOf(refactored, call),
             absl::StrCat(program::OperatorName(call.op),
                          " changes an argument of the child in place, and the parent goes on "
                          "with it; the original does not"),
             "return what the child computes, leave its arguments as they are"});
      }
    }
  }
  return violations;
}

std::vector<Violation> ChildClassViolations(const Program& refactored, const ChildScopes& scopes,
                                            const std::set<std::string>& with_model) {
  std::vector<Violation> violations;
  for (const ChildScopes::ChildRun& run : scopes.runs()) {
    const ModuleId id = refactored.invocations[static_cast<size_t>(run.invocation)].module;
    const Module& module = refactored.modules[static_cast<size_t>(id)];
    if (module.class_name == "Model" || !with_model.contains(run.stem)) continue;
    violations.push_back({rules::kModules, absl::StrCat("children/", run.stem, ".py"), 0,
                          absl::StrCat("'", Dotted(module, ""), "' is a ", module.class_name,
                                       ", while the file's component is Model"),
                          "call Model, one component a file"});
  }
  return violations;
}

std::vector<Violation> ParameterViolations(const Program& refactored, const Program& original,
                                           const ChildScopes& scopes, const std::string& own_file) {
  const auto is_parent = [&](const Module& module) {
    return module.id == 0 || module.is_container ||
           (!own_file.empty() &&
            fs::path(module.file).lexically_normal() == fs::path(own_file).lexically_normal());
  };
  std::vector<Violation> violations;
  const std::string file = own_file.empty() ? "refactored.py" : fs::path(own_file).filename().string();
  const std::vector<bool> below = BelowChildren(refactored, scopes);
  OriginalBuffers original_buffers(original);
  for (const Module& module : refactored.modules) {
    if (below[static_cast<size_t>(module.id)]) continue;
    if (!is_parent(module)) {
      violations.push_back({rules::kModules, file, 0,
                            absl::StrCat("'", Dotted(module, ""), "' is a ", module.class_name,
                                         ", which no file of children/ defines"),
                            "import every module from children/"});
    }
    for (const auto& [name, value] : module.parameters) {
      violations.push_back(
          {rules::kParameters, file, 0,
           absl::StrCat("the parameter '", Dotted(module, name), "' is held outside the children"),
           "move it into the child that uses it"});
    }
    for (const auto& [name, value] : module.buffers) {
      if (value >= 0 && original_buffers.Take(refactored.value(value))) continue;
      violations.push_back({rules::kBuffers, file, 0,
                            absl::StrCat("the buffer '", Dotted(module, name), "' is none of the original's"),
                            "only buffers of the original may stand outside the children, one for one"});
    }
  }
  return violations;
}

}  // namespace strata::verify
