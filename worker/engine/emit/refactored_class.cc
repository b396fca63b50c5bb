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

// One attribute of the class that holds a child.
struct Instance {
  std::string attribute;       // as planned: "blocks.2"
  std::string name;            // "attn", or the list's name
  int64_t index = -1;          // in a list
  bool in_sequential = false;  // the list is an nn.Sequential
  const Node* node = nullptr;
};

// "blocks.2" -> {"blocks", 2}; index -1 where the path does not end in a number.
std::pair<std::string, int64_t> SplitIndex(const std::string& attribute) {
  const size_t dot = attribute.rfind('.');
  int64_t index = -1;
  if (dot == std::string::npos || !absl::SimpleAtoi(attribute.substr(dot + 1), &index))
    return {attribute, -1};
  return {attribute.substr(0, dot), index};
}

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
        slice_(plan, node_) {}

  absl::StatusOr<RefactoredClass> Build(const std::string& class_name, bool tie_inside_children) {
    CollectInstances();
    FindSequentials();
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
      if (same == instances_.end()) instances_.push_back({child.attribute, "", -1, false, &child});
    }
  }

  // Children that run one after the other where the source has an nn.Sequential stay one.
  void FindSequentials() {
    for (size_t i = 0; i < node_.body.size();) {
      const size_t end = ChainEnd(i);
      if (end - i >= 2) sequentials_[i] = end;
      i = std::max(end, i + 1);
    }
  }

  // body[begin, end) is a chain through all children below one prefix whose module is a Sequential.
  size_t ChainEnd(size_t begin) const {
    if (!node_.body[begin].is_child) return begin;
    const auto prefix_of = [&](size_t i) {
      const auto [prefix, index] = SplitIndex(NodeOf(node_.body[i].index).attribute);
      return index >= 0 ? prefix : std::string();
    };
    const std::string prefix = prefix_of(begin);
    if (prefix.empty() || !IsSequential(prefix)) return begin;
    size_t end = begin;
    ValueId flowing = kNoId;
    std::set<size_t> seen;
    while (end < node_.body.size() && node_.body[end].is_child && prefix_of(end) == prefix) {
      const Node& child = NodeOf(node_.body[end].index);
      if (child.inputs.size() != 1 || child.outputs.size() != 1 ||
          !seen.insert(instance_of_.at(child.id)).second)
        return begin;
      if (flowing != kNoId && (child.inputs[0] != flowing || Readers(flowing) != 1)) return begin;
      flowing = child.outputs[0];
      ++end;
    }
    const auto all = std::count_if(instances_.begin(), instances_.end(), [&](const Instance& instance) {
      const auto [other, index] = SplitIndex(instance.attribute);
      return index >= 0 && other == prefix;
    });
    return static_cast<size_t>(all) == end - begin ? end : begin;
  }

  bool IsSequential(const std::string& prefix) const {
    const auto& scope = program_.modules.at(
        static_cast<size_t>(program_.invocations.at(static_cast<size_t>(node_.scope)).module));
    const std::string home = scope.paths.empty() || scope.paths[0].empty() ? "" : scope.paths[0] + ".";
    return std::any_of(program_.modules.begin(), program_.modules.end(), [&](const program::Module& module) {
      return module.class_name == "Sequential" &&
             std::find(module.paths.begin(), module.paths.end(), home + prefix) != module.paths.end();
    });
  }

  // How many items of the body, and the result, read the value.
  int64_t Readers(ValueId id) const {
    int64_t readers = std::count(node_.outputs.begin(), node_.outputs.end(), id);
    for (const plan::Item& item : node_.body) {
      const std::vector<ValueId> reads =
          item.is_child ? NodeOf(item.index).inputs : program::Reads(program_.call(item.index));
      readers += std::count(reads.begin(), reads.end(), id);
    }
    return readers;
  }

  // Elements 0..n-1 of one prefix become a ModuleList; everything else an attribute.
  void NameInstances() {
    std::map<std::string, std::set<int64_t>> lists;
    for (const Instance& instance : instances_) {
      const auto [prefix, index] = SplitIndex(instance.attribute);
      if (index >= 0) lists[prefix].insert(index);
    }
    NameScope names;
    for (const auto& [begin, end] : sequentials_) {
      const std::string prefix = SplitIndex(NodeOf(node_.body[begin].index).attribute).first;
      const std::string name = names.Unique(ToIdentifier(absl::StrReplaceAll(prefix, {{".", "_"}})));
      for (size_t i = begin; i < end; ++i) {
        Instance& instance = instances_[instance_of_.at(node_.body[i].index)];
        instance.name = name;
        instance.index = static_cast<int64_t>(i - begin);
        instance.in_sequential = true;
      }
    }
    for (const Instance& instance : instances_) {
      if (instance.in_sequential) continue;
      const auto [prefix, index] = SplitIndex(instance.attribute);
      const auto list = lists.find(prefix);
      const bool whole = index >= 0 && list->second.size() > 1 &&
                         *list->second.rbegin() + 1 == static_cast<int64_t>(list->second.size());
      if (!whole || list_names_.count(prefix) > 0) continue;
      list_names_[prefix] = names.Unique(ToIdentifier(absl::StrReplaceAll(prefix, {{".", "_"}})));
      list_sizes_[prefix] = static_cast<int64_t>(list->second.size());
    }
    for (Instance& instance : instances_) {
      if (instance.in_sequential) continue;
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
    const ConstantText constants = SpellConstants(program_, held, spelling_.literal);
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
    for (const Instance& instance : instances_) {
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
    for (const Instance& instance : instances_) {
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
      if (const auto chain = sequentials_.find(i); chain != sequentials_.end()) {
        const Node& first = NodeOf(item.index);
        Apply apply;
        apply.callee = "self." + instances_[instance_of_.at(first.id)].name;
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
    for (const Instance& instance : instances_) {
      const Component& child = plan_.components.at(static_cast<size_t>(instance.node->component));
      const InstanceMap map(plan_, NodeOf(child.nodes.at(0)), *instance.node);
      const std::string prefix =
          instance.index < 0 ? instance.name : absl::StrCat(instance.name, ".", instance.index);
      for (const StateEntry& entry : children_.states.at(child.id)) {
        out_.text.state.push_back({absl::StrCat(prefix, ".", entry.key), map(entry.value)});
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
    for (const Instance& instance : instances_) {
      const std::string prefix =
          instance.index < 0 ? instance.name : absl::StrCat(instance.name, ".", instance.index);
      if (absl::StartsWith(key, prefix + ".")) return prefix;
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
  std::vector<Instance> instances_;
  std::map<plan::NodeId, size_t> instance_of_;
  std::map<size_t, size_t> sequentials_;           // body items [begin, end)
  std::map<std::string, std::string> list_names_;  // planned prefix -> attribute
  std::map<std::string, int64_t> list_sizes_;
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
