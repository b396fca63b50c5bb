#include "worker/engine/emit/input_names.h"

#include <algorithm>
#include <map>

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

// The argument's name in the schema of a lone operator.
std::string SchemaArgument(const program::Call& call, ValueId id) {
  static const std::map<std::string, std::string> kTidy = {
      {"self", "x"}, {"input", "x"}, {"other", "y"}, {"tensor2", "y"}, {"mat2", "y"}, {"vec2", "y"}};
  for (const program::NamedArgument& argument : call.args) {
    if (argument.value.kind == program::Argument::Kind::kValue && argument.value.value == id) {
      const auto tidy = kTidy.find(argument.name);
      return tidy == kTidy.end() ? argument.name : tidy->second;
    }
  }
  return "";
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
    if (name.empty() && node.calls.size() == 1) name = SchemaArgument(program.call(node.calls[0]), node.inputs[i]);
    if (name.empty() && node.inputs.size() > 1) name = SourceName(program, node.inputs[i]);
    if (name.empty() || !IsIdentifier(name)) name = i == 0 ? "x" : i == 1 ? "y" : i == 2 ? "z" : absl::StrCat("x", i);
    out.push_back(names.Unique(name));
  }
  return out;
}

}  // namespace strata::emit
