#include "worker/engine/emit/refactored_class.h"

#include <algorithm>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "worker/engine/emit/constants.h"
#include "worker/engine/emit/forward_writer.h"
#include "worker/engine/emit/input_names.h"
#include "worker/engine/emit/instance_map.h"
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

// One attribute of the class that holds a child.
struct Instance {
  std::string attribute;  // as planned: "blocks.2"
  std::string name;       // "attn", or the list's name
  int64_t index = -1;     // in a list
  const Node* node = nullptr;
};

// "blocks.2" -> {"blocks", 2}; index -1 where the path does not end in a number.
std::pair<std::string, int64_t> SplitIndex(const std::string& attribute) {
  const size_t dot = attribute.rfind('.');
  int64_t index = -1;
  if (dot == std::string::npos || !absl::SimpleAtoi(attribute.substr(dot + 1), &index)) return {attribute, -1};
  return {attribute.substr(0, dot), index};
}

class Builder {
 public:
  Builder(const Plan& plan, const Component& component, const ChildClasses& children)
      : plan_(plan), program_(plan.program), component_(component),
        node_(plan.nodes.at(static_cast<size_t>(component.nodes.at(0)))), children_(children), slice_(plan, node_) {}

  absl::StatusOr<RefactoredClass> Build(const std::string& class_name, bool tie_inside_children) {
    CollectInstances();
    NameInstances();
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

  void CollectInstances() {
    for (const plan::Item& item : node_.body) {
      if (!item.is_child) continue;
      const Node& child = NodeOf(item.index);
      const auto same = std::find_if(instances_.begin(), instances_.end(), [&](const Instance& instance) {
        return instance.attribute == child.attribute && instance.node->component == child.component &&
               instance.node->owned == child.owned;
      });
      instance_of_[child.id] = static_cast<size_t>(same - instances_.begin());
      if (same == instances_.end()) instances_.push_back({child.attribute, "", -1, &child});
    }
  }

  // Elements 0..n-1 of one prefix become a ModuleList; everything else an attribute.
  void NameInstances() {
    std::map<std::string, std::set<int64_t>> lists;
    for (const Instance& instance : instances_) {
      const auto [prefix, index] = SplitIndex(instance.attribute);
      if (index >= 0) lists[prefix].insert(index);
    }
    NameScope names;
    for (const Instance& instance : instances_) {
      const auto [prefix, index] = SplitIndex(instance.attribute);
      const auto list = lists.find(prefix);
      const bool whole = index >= 0 && list->second.size() > 1 && *list->second.rbegin() + 1 == static_cast<int64_t>(list->second.size());
      if (!whole || list_names_.count(prefix) > 0) continue;
      list_names_[prefix] = names.Unique(ToIdentifier(absl::StrReplaceAll(prefix, {{".", "_"}})));
      list_sizes_[prefix] = static_cast<int64_t>(list->second.size());
    }
    for (Instance& instance : instances_) {
      const auto [prefix, index] = SplitIndex(instance.attribute);
      if (const auto list = list_names_.find(prefix); index >= 0 && list != list_names_.end()) {
        instance.name = list->second;
        instance.index = index;
        continue;
      }
      const std::string wanted = instance.attribute.empty() ? "child" : instance.attribute;
      instance.name = names.Unique(ToIdentifier(absl::StrReplaceAll(wanted, {{".", "_"}})));
    }
  }

  // Buffers and constants of the original that the parent itself keeps.
  void WriteBuffers() {
    std::vector<ValueId> held;
    for (const ValueId id : node_.held) {
      const program::Value& value = program_.value(id);
      if (value.kind != ValueKind::kParameter && !value.is_wrapped_number) held.push_back(id);
    }
    if (held.empty()) return;
    const ConstantText constants = SpellConstants(program_, held);
    out_.packed = constants.packed;
    out_.packed_notes = constants.packed_notes;
    Append(out_.text.init, constants.setup);
    NameScope names;
    for (const Instance& instance : instances_) names.Reserve(instance.name);
    for (size_t i = 0; i < held.size(); ++i) {
      const program::Value& value = program_.value(held[i]);
      const std::string source = SourceName(program_, held[i]);
      const std::string name = names.Unique(source.empty() ? "constant" : source);
      const bool in_state = value.kind == ValueKind::kBuffer && value.persistent;
      std::string expression = constants.expressions[i];
      if (expression.empty()) {
        expression = absl::StrCat("torch.zeros(", PythonTuple(value.type.sizes), ", dtype=", program::TorchName(value.type.dtype), ")");
      }
      out_.text.init.push_back(absl::StrCat("self.register_buffer(", PythonString(name), ", ", expression,
                                            in_state ? ")" : ", persistent=False)"));
      function_.attributes[held[i]] = "self." + name;
      if (in_state) out_.text.state.push_back({name, held[i]});
    }
  }

  void WriteInstances() {
    std::set<std::string> lists;
    for (const Instance& instance : instances_) {
      const std::string& class_name = children_.names.at(instance.node->component);
      if (instance.index < 0) {
        out_.text.init.push_back(absl::StrCat("self.", instance.name, " = ", class_name, "()"));
      } else if (lists.insert(instance.name).second) {
        WriteList(instance.name);
      }
    }
  }

  void WriteList(const std::string& list) {
    std::map<int64_t, std::string> by_index;
    for (const Instance& instance : instances_) {
      if (instance.index >= 0 && instance.name == list) {
        by_index[instance.index] = children_.names.at(instance.node->component) + "()";
      }
    }
    std::vector<std::string> items;
    for (const auto& element : by_index) items.push_back(element.second);
    const bool equal = std::all_of(items.begin(), items.end(), [&](const std::string& item) { return item == items[0]; });
    if (equal) {
      out_.text.init.push_back(absl::StrCat("self.", list, " = nn.ModuleList(", items[0], " for _ in range(", items.size(), "))"));
    } else {
      Append(out_.text.init, WrapList(absl::StrCat("self.", list, " = nn.ModuleList(["), items, "])", 92));
    }
  }

  void AddSteps() {
    for (const plan::Item& item : node_.body) {
      Step step;
      if (!item.is_child) {
        step.call = item.index;
        function_.steps.push_back(step);
        continue;
      }
      const Node& child = NodeOf(item.index);
      const Instance& instance = instances_[instance_of_.at(child.id)];
      Apply apply;
      apply.inputs = child.inputs;
      apply.outputs = child.outputs;
      apply.callee = "self." + instance.name;
      if (instance.index >= 0) {
        apply.list = apply.callee;
        absl::StrAppend(&apply.callee, "[", instance.index, "]");
        apply.position = instance.index;
        apply.list_size = list_sizes_.at(SplitIndex(instance.attribute).first);
        apply.element = Singular(instance.name);
      }
      NameOutputs(child, instance, apply);
      step.apply = std::move(apply);
      function_.steps.push_back(step);
    }
  }

  // The source's own variables, where the child's last operators stand in the parent's forward.
  void NameOutputs(const Node& child, const Instance& instance, Apply& apply) const {
    for (const ValueId id : child.outputs) {
      const program::Value& value = program_.value(id);
      const bool inline_made = child.form == plan::NodeForm::kSlice && value.producer != kNoId &&
                               program_.call(value.producer).scope == node_.scope;
      apply.names.push_back(inline_made ? SourceName(program_, id) : "");
    }
    apply.hint = ResultHint(instance.name);
  }

  void CollectState() {
    for (const Instance& instance : instances_) {
      const Component& child = plan_.components.at(static_cast<size_t>(instance.node->component));
      const InstanceMap map(plan_, NodeOf(child.nodes.at(0)), *instance.node);
      const std::string prefix = instance.index < 0 ? instance.name : absl::StrCat(instance.name, ".", instance.index);
      for (const StateEntry& entry : children_.states.at(child.id)) {
        out_.text.state.push_back({absl::StrCat(prefix, ".", entry.key), map(entry.value)});
      }
    }
  }

  // Weights that are one in the original are one here.
  void WriteTies(bool inside_children) {
    std::map<ValueId, std::string> first;
    std::set<std::pair<ValueId, std::string>> owners;  // value and instance: ties inside a child are the child's
    for (const StateEntry& entry : out_.text.state) {
      if (entry.value == kNoId || program_.value(entry.value).kind != ValueKind::kParameter) continue;
      const std::string owner = OwnerOf(entry.key);
      const auto [seen, is_new] = first.emplace(entry.value, entry.key);
      const bool own_tie = !owners.insert({entry.value, owner}).second && !inside_children;
      if (is_new || own_tie) continue;
      out_.text.init.push_back(absl::StrCat("self.", AttributePath(entry.key), " = self.", AttributePath(seen->second)));
    }
  }

  std::string OwnerOf(const std::string& key) const {
    for (const Instance& instance : instances_) {
      const std::string prefix = instance.index < 0 ? instance.name : absl::StrCat(instance.name, ".", instance.index);
      if (absl::StartsWith(key, prefix + ".")) return prefix;
    }
    return "";
  }

  const Plan& plan_;
  const program::Program& program_;
  const Component& component_;
  const Node& node_;
  const ChildClasses& children_;
  const Slice slice_;
  std::vector<Instance> instances_;
  std::map<plan::NodeId, size_t> instance_of_;
  std::map<std::string, std::string> list_names_;  // planned prefix -> attribute
  std::map<std::string, int64_t> list_sizes_;
  Function function_;
  RefactoredClass out_;
};

std::string OutputPattern(const Tree& tree, std::vector<ValueId>& values, bool top) {
  std::vector<std::string> items;
  switch (tree.kind) {
    case Tree::Kind::kTensor:
      values.push_back(tree.value);
      return absl::StrCat("$", values.size() - 1);
    case Tree::Kind::kNone: return "None";
    case Tree::Kind::kLiteral: return tree.text;
    case Tree::Kind::kTuple:
    case Tree::Kind::kList:
      for (const Tree& item : tree.items) items.push_back(OutputPattern(item, values, false));
      if (tree.kind == Tree::Kind::kList) return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
      if (items.size() == 1) return absl::StrCat("(", items[0], ",)");
      return top && !items.empty() ? absl::StrJoin(items, ", ") : absl::StrCat("(", absl::StrJoin(items, ", "), ")");
    case Tree::Kind::kDict:
    case Tree::Kind::kDataclass:
      for (size_t i = 0; i < tree.items.size(); ++i) {
        const std::string key = tree.kind == Tree::Kind::kDict ? tree.keys[i] : PythonString(tree.keys[i]);
        items.push_back(absl::StrCat(key, ": ", OutputPattern(tree.items[i], values, false)));
      }
      return absl::StrCat("{", absl::StrJoin(items, ", "), "}");
    case Tree::Kind::kOpaque: return "None";
  }
  return "None";
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
  static const std::set<std::string> kTelling = {"q",    "k",  "v",      "qkv",    "query",  "key",  "value",
                                                 "gate", "up", "logits", "scores", "identity", "shortcut"};
  if (hint == "downsample") return "identity";
  return kTelling.count(hint) > 0 ? hint : "";
}

absl::StatusOr<RefactoredClass> BuildRefactored(const Plan& plan, plan::ComponentId id, const ChildClasses& children,
                                                const std::string& class_name, bool tie_inside_children) {
  const Component& component = plan.components.at(static_cast<size_t>(id));
  return Builder(plan, component, children).Build(class_name, tie_inside_children);
}

std::map<plan::ComponentId, std::string> ClassNames(const Plan& plan, const std::vector<plan::ComponentId>& ids) {
  static const std::set<std::string> kDtypes = {"fp64", "fp32", "fp16", "bf16", "i64", "i32",
                                                "i16",  "i8",   "u8",   "bool", "c64", "c128"};
  std::map<plan::ComponentId, std::string> names;
  std::map<std::string, int> shortened;
  const auto short_name = [&](plan::ComponentId id) {
    std::vector<std::string> parts = absl::StrSplit(plan.components.at(static_cast<size_t>(id)).stem, '_');
    while (parts.size() > 1 && kDtypes.count(parts.back()) > 0) parts.pop_back();
    return ToCamelCase(absl::StrJoin(parts, "_"));
  };
  for (const plan::ComponentId id : ids) ++shortened[short_name(id)];
  NameScope taken;
  for (const char* word : {"Model", "RefactoredModel", "ComposedModel", "Path"}) taken.Reserve(word);
  for (const plan::ComponentId id : ids) {
    const std::string name = short_name(id);
    const bool alone = shortened[name] == 1;
    names[id] = taken.Unique(alone ? name : ToCamelCase(plan.components.at(static_cast<size_t>(id)).stem));
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
    const auto& value = call.args[i].kind == Tree::Kind::kTensor ? program.value(call.args[i].value).paths : std::vector<std::string>();
    if (!value.empty()) rest = "*" + value[0].substr(0, value[0].find('['));
    NameNested(call.args[i], program, function);
  }
  if (!rest.empty()) function.parameters.emplace_back(rest, kNoId);
  for (const auto& [name, tree] : call.kwargs) add(name, tree);
  function.return_pattern = OutputPattern(call.output, function.returns, true);
}

}  // namespace strata::emit
