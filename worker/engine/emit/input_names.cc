#include "worker/engine/emit/input_names.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/emit/flow.h"
#include "worker/engine/emit/python_text.h"

namespace strata::emit {
namespace {

using program::kNoId;
using program::ValueId;

// The parameter of the module's forward that holds the tensor.
std::string ModuleArgument(const program::Invocation& invocation, ValueId id) {
  for (size_t i = 0; i < invocation.args.size() && i < invocation.parameter_names.size(); ++i) {
    if (invocation.args[i].kind == program::Tree::Kind::kTensor && invocation.args[i].value == id) {
      return invocation.parameter_names[i];
    }
  }
  for (const auto& [name, tree] : invocation.kwargs) {
    if (tree.kind == program::Tree::Kind::kTensor && tree.value == id) return name;
  }
  return "";
}

// The name that a module around the node gives it.
std::string EnclosingArgument(const program::Program& program, program::InvocationId scope, ValueId id) {
  for (; scope != kNoId; scope = program.invocations.at(static_cast<size_t>(scope)).parent) {
    const std::string name = ModuleArgument(program.invocations.at(static_cast<size_t>(scope)), id);
    if (!name.empty() && name != "input") return name;
  }
  return "";
}

// The argument's name in the schema of a lone operator.
std::string SchemaArgument(const program::Call& call, ValueId id) {
  static const std::map<std::string, std::string> kTidy = {{"self", "x"},    {"input", "x"}, {"other", "y"},
                                                           {"tensor2", "y"}, {"mat2", "y"},  {"vec2", "y"}};
  for (const program::NamedArgument& argument : call.args) {
    if (argument.value.kind == program::Argument::Kind::kValue && argument.value.value == id) {
      const auto tidy = kTidy.find(argument.name);
      return tidy == kTidy.end() ? argument.name : tidy->second;
    }
  }
  return "";
}

bool IsView(const std::string& name) {
  static const std::set<std::string> kViews = {"slice",   "select", "view",      "reshape", "unsqueeze",
                                               "squeeze", "expand", "transpose", "alias"};
  return kViews.count(name) > 0;
}

// The attribute that the value is a view of: cos of self.cos[:T].
const program::Value* AttributeBehind(const program::Program& program, ValueId id) {
  const program::Value* value = &program.value(id);
  while (value->kind == program::ValueKind::kResult && value->producer != kNoId) {
    const program::Call& call = program.call(value->producer);
    if (!IsView(program::OperatorName(call.op)) || call.args[0].value.kind != program::Argument::Kind::kValue)
      return nullptr;
    value = &program.value(call.args[0].value.value);
  }
  return value->paths.empty() || value->kind == program::ValueKind::kInput ? nullptr : value;
}

std::string LastComponent(const std::string& path) { return path.substr(path.rfind('.') + 1); }

}  // namespace

std::string SourceName(const program::Program& program, ValueId id) {
  const program::Value& value = program.value(id);
  if (!value.paths.empty()) {
    const std::string last = LastComponent(value.paths[0]);
    return IsIdentifier(last) ? last : "";
  }
  if (value.kind != program::ValueKind::kResult || value.producer == kNoId) return "";
  if (const program::Value* attribute = AttributeBehind(program, id)) {
    const std::string last = LastComponent(attribute->paths[0]);
    return IsIdentifier(last) ? last : "";
  }
  const program::Call& call = program.call(value.producer);
  for (auto frame = call.frames.rbegin(); frame != call.frames.rend(); ++frame) {
    if (IsTorchFile(frame->file)) continue;
    const auto index = static_cast<size_t>(value.result_index);
    if (frame->targets.empty()) return "";
    const std::string& name = index < frame->targets.size() ? frame->targets[index] : frame->targets[0];
    return IsIdentifier(name) ? name : "";
  }
  return "";
}

std::vector<std::string> InputNames(const plan::Plan& plan, const plan::Node& node) {
  const program::Program& program = plan.program;
  NameScope names;
  for (const char* taken : {"self", "torch", "nn", "F", "math"}) names.Reserve(taken);
  std::vector<std::string> out;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    std::string name;
    if (node.form == plan::NodeForm::kModule) {
      name = ModuleArgument(program.invocations.at(static_cast<size_t>(node.scope)), node.inputs[i]);
      if (name == "input") name = "x";
    }
    if (name.empty() && node.calls.size() == 1)
      name = SchemaArgument(program.call(node.calls[0]), node.inputs[i]);
    if (name.empty()) name = EnclosingArgument(program, node.scope, node.inputs[i]);
    if (name.empty() && i > 0) name = SourceName(program, node.inputs[i]);
    if (name.empty() || !IsIdentifier(name))
      name = i == 0 ? "x" : i == 1 ? "y" : i == 2 ? "z" : absl::StrCat("x", i);
    out.push_back(names.Unique(name));
  }
  return out;
}

}  // namespace strata::emit
