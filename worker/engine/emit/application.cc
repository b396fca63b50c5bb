#include "worker/engine/emit/application.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace strata::emit {
namespace {

using program::Invocation;
using program::InvocationId;
using program::kNoId;
using program::Module;
using program::Tree;
using program::Value;
using program::ValueId;
using program::ValueKind;

// The text of one argument for Apply::arguments; its tensors join `inputs`. "" where it cannot be written.
std::string ArgumentText(const Tree& tree, std::vector<ValueId>& inputs) {
  switch (tree.kind) {
    case Tree::Kind::kTensor:
      inputs.push_back(tree.value);
      return absl::StrCat("$", inputs.size() - 1);
    case Tree::Kind::kNone:
      return "None";
    case Tree::Kind::kLiteral:
      return absl::StrReplaceAll(tree.text, {{"$", "$$"}});
    case Tree::Kind::kTuple:
    case Tree::Kind::kList:
      break;
    default:
      return "";
  }
  std::vector<std::string> items;
  for (const Tree& item : tree.items) {
    items.push_back(ArgumentText(item, inputs));
    if (items.back().empty()) return "";
  }
  const std::string text = absl::StrJoin(items, ", ");
  if (tree.kind == Tree::Kind::kList) return absl::StrCat("[", text, "]");
  return absl::StrCat("(", text, items.size() == 1 ? ",)" : ")");
}

// The order and keywords of a torch.nn leaf's own arguments, where its operands are all among them.
void ArrangeArguments(const Invocation& invocation, Apply& apply) {
  if (apply.inputs.size() <= 1 && invocation.args.size() <= 1 && invocation.kwargs.empty()) return;
  std::vector<ValueId> inputs;
  std::vector<std::string> arguments;
  for (const Tree& tree : invocation.args) {
    arguments.push_back(ArgumentText(tree, inputs));
    if (arguments.back().empty()) return;
  }
  for (const auto& [keyword, tree] : invocation.kwargs) {
    if (tree.kind == Tree::Kind::kNone) continue;
    const std::string text = ArgumentText(tree, inputs);
    if (text.empty()) return;
    arguments.push_back(absl::StrCat(keyword, "=", text));
  }
  for (const ValueId id : apply.inputs) {
    if (std::find(inputs.begin(), inputs.end(), id) == inputs.end()) return;
  }
  apply.inputs = std::move(inputs);
  apply.arguments = std::move(arguments);
}

// The outputs, with the pattern that unpacks them where a leaf returns a nested tuple; false where the node
// reads a value that the leaf does not hand out.
bool ArrangeOutputs(const Slice& slice, const Invocation& invocation, bool is_leaf, Apply& apply) {
  const std::vector<ValueId> used = slice.Outputs(slice.CallsOf(invocation.id));
  apply.outputs = used;
  if (!is_leaf || invocation.output.kind == Tree::Kind::kTensor) return !used.empty() || !is_leaf;
  std::vector<ValueId> flat;
  const std::function<std::string(const Tree&)> pattern = [&](const Tree& tree) -> std::string {
    if (tree.kind == Tree::Kind::kTensor) {
      flat.push_back(tree.value);
      return absl::StrCat("$", flat.size() - 1);
    }
    if (tree.kind != Tree::Kind::kTuple && tree.kind != Tree::Kind::kList) {
      flat.push_back(kNoId);  // something is there to unpack, so the application is no one value
      return absl::StrCat("$", flat.size() - 1);
    }
    std::vector<std::string> items;
    for (const Tree& item : tree.items) items.push_back(pattern(item));
    return absl::StrCat("(", absl::StrJoin(items, ", "), ")");
  };
  std::string text = pattern(invocation.output);
  if (text.size() > 2 && text.front() == '(') text = text.substr(1, text.size() - 2);
  for (const ValueId id : used) {
    if (std::find(flat.begin(), flat.end(), id) == flat.end()) return false;
  }
  apply.outputs = std::move(flat);
  apply.pattern = std::move(text);
  return true;
}

}  // namespace

std::vector<ValueId> OperandsOf(const Slice& slice, InvocationId id, const std::vector<StateEntry>& state) {
  const program::Program& program = slice.program();
  const Invocation& invocation = program.invocations.at(static_cast<size_t>(id));
  const Module& module = program.modules.at(static_cast<size_t>(invocation.module));
  const auto own = [&](ValueId value_id) {
    for (const StateEntry& entry : state) {
      if (entry.value == value_id) return true;
    }
    const Value& value = program.value(value_id);
    if (value.kind == ValueKind::kConstant) return !slice.IsInput(value_id);
    if (value.kind != ValueKind::kParameter && value.kind != ValueKind::kBuffer) return false;
    if (slice.IsInput(value_id)) return false;
    bool below = false;
    for (const std::string& path : module.paths) {
      if (!below) Slice::RelativePath(value.paths, path, &below);
    }
    return below;
  };
  return slice.FreeValues(slice.CallsOf(id), own);
}

std::optional<Apply> ApplicationOf(const Slice& slice, InvocationId id,
                                   const std::vector<StateEntry>& state) {
  const program::Program& program = slice.program();
  const Invocation& invocation = program.invocations.at(static_cast<size_t>(id));
  const bool is_leaf = program.modules.at(static_cast<size_t>(invocation.module)).is_torch_nn;
  Apply apply;
  apply.inputs = OperandsOf(slice, id, state);
  if (is_leaf) ArrangeArguments(invocation, apply);
  if (!ArrangeOutputs(slice, invocation, is_leaf, apply)) return std::nullopt;
  return apply;
}

}  // namespace strata::emit
