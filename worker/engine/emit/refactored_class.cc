#include "worker/engine/emit/refactored_class.h"

#include <algorithm>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "worker/engine/emit/child_names.h"
#include "worker/engine/emit/constants.h"
#include "worker/engine/emit/forward_writer.h"
#include "worker/engine/emit/input_names.h"
#include "worker/engine/emit/instance_map.h"
#include "worker/engine/emit/output_tree.h"
#include "worker/engine/emit/slice.h"

namespace strata::emit {
namespace {

using plan::Component;
using plan::Node;
using plan::Plan;
using program::kNoId;
using program::Tree;
using program::ValueId;
using program::ValueKind;

class Builder {
 public:
  Builder(const Plan& plan, const Component& component, const ChildClasses& children,
          const Spelling& spelling)
      : plan_(plan),
        program_(plan.program),
        component_(component),
        node_(plan.nodes.at(static_cast<size_t>(component.nodes.at(0)))),
        children_(children),
        spelling_(spelling),
        slice_(plan, node_),
        names_(plan, node_) {}

  absl::StatusOr<RefactoredClass> Build(const std::string& class_name, bool tie_inside_children) {
    if (component_.id == 0) {
      DescribeModelInterface(program_, function_);
    } else {
      const std::vector<std::string> names = InputNames(plan_, node_);
      for (size_t i = 0; i < names.size(); ++i) function_.parameters.emplace_back(names[i], node_.inputs[i]);
      function_.returns = node_.outputs;
    }
    function_.twins = slice_.twins();
    WriteBuffers();
    WriteInstances();
    AddSteps();
    CollectState();
    WriteTies(tie_inside_children);
    absl::StatusOr<Lines> forward = WriteForward(program_, function_, ForwardOptions());
    if (!forward.ok()) return forward.status();
    out_.text.name = class_name;
    out_.text.forward = *std::move(forward);
    return out_;
  }

 private:
  const Node& NodeOf(plan::NodeId id) const { return plan_.nodes.at(static_cast<size_t>(id)); }

  // Buffers and constants of the original that the parent itself keeps.
  void WriteBuffers() {
    std::vector<ValueId> held;
    for (const ValueId id : node_.held) {
      const program::Value& value = program_.value(id);
      if (value.kind != ValueKind::kParameter && !value.is_wrapped_number) held.push_back(id);
    }
    if (held.empty()) return;
    const ConstantText constants = SpellConstants(program_, held, spelling_.literal);
    out_.packed = constants.packed;
    out_.packed_notes = constants.packed_notes;
    Append(out_.text.init, constants.setup);
    NameScope names;
    for (const ChildInstance& instance : names_.instances()) names.Reserve(instance.name);
    for (size_t i = 0; i < held.size(); ++i) {
      const program::Value& value = program_.value(held[i]);
      const std::string source = SourceName(program_, held[i]);
      const std::string name = names.Unique(source.empty() ? "constant" : source);
      const bool in_state = value.kind == ValueKind::kBuffer && value.persistent;
      std::string expression = constants.expressions[i];
      if (expression.empty()) {
        expression = absl::StrCat("torch.zeros(", PythonTuple(value.type.sizes),
                                  ", dtype=", program::TorchName(value.type.dtype), ")");
      }
      out_.text.init.push_back(absl::StrCat("self.register_buffer(", PythonString(name), ", ", expression,
                                            in_state ? ")" : ", persistent=False)"));
      function_.attributes[held[i]] = "self." + name;
      if (in_state) out_.text.state.push_back({name, held[i]});
    }
  }

  void WriteInstances() {
    std::set<std::string> lists;
    for (const ChildInstance& instance : names_.instances()) {
      const std::string& class_name = children_.names.at(instance.node->component);
      if (instance.index < 0) {
        out_.text.init.push_back(absl::StrCat("self.", instance.name, " = ", class_name, "()"));
      } else if (lists.insert(instance.name).second) {
        WriteList(instance.name, instance.in_sequential);
      }
    }
  }

  void WriteList(const std::string& list, bool sequential) {
    std::map<int64_t, std::string> by_index;
    for (const ChildInstance& instance : names_.instances()) {
      if (instance.index >= 0 && instance.name == list) {
        by_index[instance.index] = children_.names.at(instance.node->component) + "()";
      }
    }
    std::vector<std::string> items;
    for (const auto& element : by_index) items.push_back(element.second);
    const bool equal =
        std::all_of(items.begin(), items.end(), [&](const std::string& item) { return item == items[0]; });
    if (sequential) {
      Append(out_.text.init, WrapList(absl::StrCat("self.", list, " = nn.Sequential("), items, ")", 92));
    } else if (equal) {
      out_.text.init.push_back(
          absl::StrCat("self.", list, " = nn.ModuleList(", items[0], " for _ in range(", items.size(), "))"));
    } else {
      Append(out_.text.init, WrapList(absl::StrCat("self.", list, " = nn.ModuleList(["), items, "])", 92));
    }
  }

  void AddSteps() {
    for (size_t i = 0; i < node_.body.size(); ++i) {
      const plan::Item& item = node_.body[i];
      Step step;
      if (const auto chain = names_.sequentials().find(i); chain != names_.sequentials().end()) {
        const Node& first = NodeOf(item.index);
        Apply apply;
        apply.callee = "self." + names_.Of(first.id).name;
        apply.inputs = first.inputs;
        apply.outputs = NodeOf(node_.body[chain->second - 1].index).outputs;
        step.apply = std::move(apply);
        function_.steps.push_back(step);
        i = chain->second - 1;
        continue;
      }
      if (!item.is_child) {
        step.call = item.index;
        function_.steps.push_back(step);
        continue;
      }
      const Node& child = NodeOf(item.index);
      const ChildInstance& instance = names_.Of(child.id);
      Apply apply;
      apply.inputs = child.inputs;
      apply.outputs = child.outputs;
      apply.callee = "self." + instance.name;
      if (instance.index >= 0) {
        apply.list = apply.callee;
        absl::StrAppend(&apply.callee, "[", instance.index, "]");
        apply.position = instance.index;
        apply.list_size = names_.ListSize(instance);
        apply.element = Singular(instance.name);
      }
      apply.place = PlaceOf(child);
      apply.hint = ResultHint(instance.name);
      step.apply = std::move(apply);
      function_.steps.push_back(step);
    }
  }

  // A child whose last operator stands in the parent's own forward.
  program::CallId PlaceOf(const Node& child) const {
    if (child.form != plan::NodeForm::kSlice || child.calls.empty()) return kNoId;
    const program::CallId last = child.calls.back();
    return program_.call(last).scope == node_.scope ? last : kNoId;
  }

  void CollectState() {
    for (const ChildInstance& instance : names_.instances()) {
      const Component& child = plan_.components.at(static_cast<size_t>(instance.node->component));
      const InstanceMap map(plan_, NodeOf(child.nodes.at(0)), *instance.node);
      for (const StateEntry& entry : children_.states.at(child.id)) {
        out_.text.state.push_back({absl::StrCat(instance.path(), ".", entry.key), map(entry.value)});
      }
    }
  }

  // Weights that are one in the original are one here.
  void WriteTies(bool inside_children) {
    std::map<ValueId, std::string> first;
    std::set<std::pair<ValueId, std::string>>
        owners;  // value and instance: ties inside a child are the child's
    for (const StateEntry& entry : out_.text.state) {
      if (entry.value == kNoId || program_.value(entry.value).kind != ValueKind::kParameter) continue;
      const std::string owner = OwnerOf(entry.key);
      const auto [seen, is_new] = first.emplace(entry.value, entry.key);
      const bool own_tie = !owners.insert({entry.value, owner}).second && !inside_children;
      if (is_new || own_tie) continue;
      out_.text.init.push_back(
          absl::StrCat("self.", AttributePath(entry.key), " = self.", AttributePath(seen->second)));
    }
  }

  std::string OwnerOf(const std::string& key) const {
    for (const ChildInstance& instance : names_.instances()) {
      if (absl::StartsWith(key, instance.path() + ".")) return instance.path();
    }
    return "";
  }

  const Plan& plan_;
  const program::Program& program_;
  const Component& component_;
  const Node& node_;
  const ChildClasses& children_;
  const Spelling& spelling_;
  const Slice slice_;
  const ChildNames names_;
  Function function_;
  RefactoredClass out_;
};

// What it is called as a class: torch.nn's or the author's own name, else its operation.
std::string OperationClass(const Plan& plan, plan::ComponentId id) {
  const Component& component = plan.components.at(static_cast<size_t>(id));
  const Node& node = plan.nodes.at(static_cast<size_t>(component.nodes.at(0)));
  if (node.form == plan::NodeForm::kModule) {
    const auto& invocation = plan.program.invocations.at(static_cast<size_t>(node.scope));
    const auto& module = plan.program.modules.at(static_cast<size_t>(invocation.module));
    if (!module.is_container && !module.class_name.empty()) return ToIdentifier(module.class_name);
  }
  static const std::map<std::string, std::string> kTorch = {
      {"relu", "ReLU"}, {"relu6", "ReLU6"},      {"leaky_relu", "LeakyReLU"},
      {"gelu", "GELU"}, {"silu", "SiLU"},        {"elu", "ELU"},
      {"selu", "SELU"}, {"rms_norm", "RMSNorm"}, {"layer_norm", "LayerNorm"}};
  const auto known = kTorch.find(node.operation);
  if (known != kTorch.end()) return known->second;
  return ToCamelCase(node.operation.empty() ? component.stem : node.operation);
}

// With what tells it from its brothers: the stem without the dtype; a stem of many numbers gives way to the
// one attribute that the component has everywhere.
std::string ShapedClass(const Plan& plan, plan::ComponentId id) {
  static const std::set<std::string> kDtypes = {"fp64", "fp32", "fp16", "bf16", "i64", "i32",
                                                "i16",  "i8",   "u8",   "bool", "c64", "c128"};
  const Component& component = plan.components.at(static_cast<size_t>(id));
  std::set<std::string> attributes;
  for (const plan::NodeId n : component.nodes) {
    const std::string& path = plan.nodes.at(static_cast<size_t>(n)).attribute;
    attributes.insert(path.substr(path.rfind('.') + 1));
  }
  const std::string lone = attributes.size() == 1 ? *attributes.begin() : "";
  if (component.stem.size() > 28 && IsIdentifier(lone)) return ToCamelCase(lone);
  std::vector<std::string> parts = absl::StrSplit(component.stem, '_');
  while (parts.size() > 1 && kDtypes.count(parts.back()) > 0) parts.pop_back();
  return ToCamelCase(absl::StrJoin(parts, "_"));
}

// Tensors inside a container argument are said by their path: states[0].
void NameNested(const Tree& tree, const program::Program& program, Function& function) {
  if (tree.kind == Tree::Kind::kTensor && !program.value(tree.value).paths.empty()) {
    function.attributes[tree.value] = program.value(tree.value).paths[0];
  }
  for (const Tree& item : tree.items) NameNested(item, program, function);
}

}  // namespace

std::string ResultHint(const std::string& member) {
  std::string hint = member;
  for (const char* suffix : {"_proj", "_projection"}) {
    if (absl::EndsWith(hint, suffix)) hint = hint.substr(0, hint.size() - std::string(suffix).size());
  }
  static const std::set<std::string> kTelling = {"q",      "k",        "v",       "qkv", "query",
                                                 "key",    "value",    "gate",    "up",  "logits",
                                                 "scores", "identity", "shortcut"};
  if (hint == "downsample") return "identity";
  return kTelling.count(hint) > 0 ? hint : "";
}

absl::StatusOr<RefactoredClass> BuildRefactored(const Plan& plan, plan::ComponentId id,
                                                const ChildClasses& children, const Spelling& spelling,
                                                const std::string& class_name, bool tie_inside_children) {
  const Component& component = plan.components.at(static_cast<size_t>(id));
  return Builder(plan, component, children, spelling).Build(class_name, tie_inside_children);
}

std::map<plan::ComponentId, std::string> ClassNames(const Plan& plan,
                                                    const std::vector<plan::ComponentId>& ids) {
  std::map<plan::ComponentId, std::string> names;
  std::map<std::string, int> by_operation;
  for (const plan::ComponentId id : ids) ++by_operation[OperationClass(plan, id)];
  NameScope taken;
  for (const char* word : {"Model", "RefactoredModel", "ComposedModel", "Path"}) taken.Reserve(word);
  for (const plan::ComponentId id : ids) {
    std::string name = OperationClass(plan, id);
    if (by_operation[name] > 1) name = ShapedClass(plan, id);
    names[id] = taken.Unique(name);
  }
  return names;
}

std::string AttributePath(const std::string& key) {
  std::string out;
  for (const auto& part : absl::StrSplit(key, '.')) {
    const std::string text(part.data(), part.size());
    int64_t index = 0;
    if (absl::SimpleAtoi(text, &index)) {
      absl::StrAppend(&out, "[", text, "]");
    } else {
      absl::StrAppend(&out, out.empty() ? "" : ".", text);
    }
  }
  return out;
}

void DescribeModelInterface(const program::Program& program, Function& function) {
  const program::Invocation& call = program.invocations.at(0);
  const auto add = [&](const std::string& name, const Tree& tree) {
    function.parameters.emplace_back(name, tree.kind == Tree::Kind::kTensor ? tree.value : kNoId);
    if (tree.kind != Tree::Kind::kTensor) NameNested(tree, program, function);
  };
  std::string rest;
  for (size_t i = 0; i < call.args.size(); ++i) {
    if (i < call.parameter_names.size()) {
      add(call.parameter_names[i], call.args[i]);
      continue;
    }
    const auto& value = call.args[i].kind == Tree::Kind::kTensor ? program.value(call.args[i].value).paths
                                                                 : std::vector<std::string>();
    if (!value.empty()) rest = "*" + value[0].substr(0, value[0].find('['));
    NameNested(call.args[i], program, function);
  }
  if (!rest.empty()) function.parameters.emplace_back(rest, kNoId);
  for (const auto& [name, tree] : call.kwargs) add(name, tree);
  OutputText output = SpellOutput(call.output);
  function.returns = std::move(output.values);
  function.return_pattern = std::move(output.pattern);
}

}  // namespace strata::emit
