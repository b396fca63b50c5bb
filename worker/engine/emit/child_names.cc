#include "worker/engine/emit/child_names.h"

#include <algorithm>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "worker/engine/emit/python_text.h"

namespace strata::emit {
namespace {

using plan::Node;
using program::kNoId;
using program::ValueId;

// "blocks.2" -> {"blocks", 2}; index -1 where the path does not end in a number.
std::pair<std::string, int64_t> SplitIndex(const std::string& attribute) {
  const size_t dot = attribute.rfind('.');
  int64_t index = -1;
  if (dot == std::string::npos || !absl::SimpleAtoi(attribute.substr(dot + 1), &index))
    return {attribute, -1};
  return {attribute.substr(0, dot), index};
}

}  // namespace

std::string ChildInstance::path() const { return index < 0 ? name : absl::StrCat(name, ".", index); }

ChildNames::ChildNames(const plan::Plan& plan, const Node& node)
    : plan_(plan), program_(plan.program), node_(node) {
  CollectInstances();
  FindSequentials();
  NameInstances();
}

const ChildInstance& ChildNames::Of(plan::NodeId child) const { return instances_[instance_of_.at(child)]; }

int64_t ChildNames::ListSize(const ChildInstance& instance) const {
  return list_sizes_.at(SplitIndex(instance.attribute).first);
}

const Node& ChildNames::NodeOf(plan::NodeId id) const { return plan_.nodes.at(static_cast<size_t>(id)); }

void ChildNames::CollectInstances() {
  for (const plan::Item& item : node_.body) {
    if (!item.is_child) continue;
    const Node& child = NodeOf(item.index);
    const auto same = std::find_if(instances_.begin(), instances_.end(), [&](const ChildInstance& instance) {
      return instance.attribute == child.attribute && instance.node->component == child.component &&
             instance.node->owned == child.owned;
    });
    instance_of_[child.id] = static_cast<size_t>(same - instances_.begin());
    if (same == instances_.end()) instances_.push_back({child.attribute, "", -1, false, &child});
  }
}

// Children that run one after the other where the source has an nn.Sequential stay one.
void ChildNames::FindSequentials() {
  for (size_t i = 0; i < node_.body.size();) {
    const size_t end = ChainEnd(i);
    if (end - i >= 2) sequentials_[i] = end;
    i = std::max(end, i + 1);
  }
}

// body[begin, end) is a chain through all children below one prefix whose module is a Sequential.
size_t ChildNames::ChainEnd(size_t begin) const {
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
  const auto all = std::count_if(instances_.begin(), instances_.end(), [&](const ChildInstance& instance) {
    const auto [other, index] = SplitIndex(instance.attribute);
    return index >= 0 && other == prefix;
  });
  return static_cast<size_t>(all) == end - begin ? end : begin;
}

bool ChildNames::IsSequential(const std::string& prefix) const {
  const auto& scope = program_.modules.at(
      static_cast<size_t>(program_.invocations.at(static_cast<size_t>(node_.scope)).module));
  const std::string home = scope.paths.empty() || scope.paths[0].empty() ? "" : scope.paths[0] + ".";
  return std::any_of(program_.modules.begin(), program_.modules.end(), [&](const program::Module& module) {
    return module.class_name == "Sequential" &&
           std::find(module.paths.begin(), module.paths.end(), home + prefix) != module.paths.end();
  });
}

// How many items of the body, and the result, read the value.
int64_t ChildNames::Readers(ValueId id) const {
  int64_t readers = std::count(node_.outputs.begin(), node_.outputs.end(), id);
  for (const plan::Item& item : node_.body) {
    const std::vector<ValueId> reads =
        item.is_child ? NodeOf(item.index).inputs : program::Reads(program_.call(item.index));
    readers += std::count(reads.begin(), reads.end(), id);
  }
  return readers;
}

// Elements 0..n-1 of one prefix become a ModuleList; everything else an attribute.
void ChildNames::NameInstances() {
  std::map<std::string, std::set<int64_t>> lists;
  for (const ChildInstance& instance : instances_) {
    const auto [prefix, index] = SplitIndex(instance.attribute);
    if (index >= 0) lists[prefix].insert(index);
  }
  NameScope names;
  for (const auto& [begin, end] : sequentials_) {
    const std::string prefix = SplitIndex(NodeOf(node_.body[begin].index).attribute).first;
    const std::string name = names.Unique(ToIdentifier(absl::StrReplaceAll(prefix, {{".", "_"}})));
    for (size_t i = begin; i < end; ++i) {
      ChildInstance& instance = instances_[instance_of_.at(node_.body[i].index)];
      instance.name = name;
      instance.index = static_cast<int64_t>(i - begin);
      instance.in_sequential = true;
    }
  }
  for (const ChildInstance& instance : instances_) {
    if (instance.in_sequential) continue;
    const auto [prefix, index] = SplitIndex(instance.attribute);
    const auto list = lists.find(prefix);
    const bool whole = index >= 0 && list->second.size() > 1 &&
                       *list->second.rbegin() + 1 == static_cast<int64_t>(list->second.size());
    if (!whole || list_names_.count(prefix) > 0) continue;
    list_names_[prefix] = names.Unique(ToIdentifier(absl::StrReplaceAll(prefix, {{".", "_"}})));
    list_sizes_[prefix] = static_cast<int64_t>(list->second.size());
  }
  for (ChildInstance& instance : instances_) {
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

}  // namespace strata::emit
