#include "worker/engine/emit/slice.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace strata::emit {

using program::Call;
using program::CallId;
using program::InvocationId;
using program::kNoId;
using program::ValueId;

Slice::Slice(const plan::Plan& plan, const plan::Node& node) : plan_(plan), node_(node) {
  calls_.insert(node.calls.begin(), node.calls.end());
  inputs_.insert(node.inputs.begin(), node.inputs.end());
  outputs_.insert(node.outputs.begin(), node.outputs.end());
  for (const CallId c : node.calls) {
    for (const ValueId id : program::Reads(program().call(c))) readers_[id].push_back(c);
  }
  const plan::Component& component = plan.components.at(static_cast<size_t>(node.component));
  std::set<std::vector<std::vector<int64_t>>> seen;
  const auto shapes = [&](const plan::Node& n) {
    std::vector<std::vector<int64_t>> out;
    for (const ValueId id : n.inputs) out.push_back(program().value(id).type.sizes);
    return out;
  };
  seen.insert(shapes(node));
  for (const plan::NodeId id : component.nodes) {
    const plan::Node& other = plan.nodes.at(static_cast<size_t>(id));
    if (seen.insert(shapes(other)).second) AddTwin(other);
  }
}

void Slice::AddTwin(const plan::Node& other) {
  if (other.calls.size() != node_.calls.size() || other.inputs.size() != node_.inputs.size()) return;
  Twin twin;
  for (size_t i = 0; i < node_.inputs.size(); ++i) twin.values[node_.inputs[i]] = other.inputs[i];
  for (size_t i = 0; i < node_.calls.size(); ++i) {
    twin.calls[node_.calls[i]] = other.calls[i];
    const Call& a = program().call(node_.calls[i]);
    const Call& b = program().call(other.calls[i]);
    for (size_t k = 0; k < std::min(a.results.size(), b.results.size()); ++k) {
      if (a.results[k] != kNoId && b.results[k] != kNoId) twin.values[a.results[k]] = b.results[k];
    }
  }
  twins_.push_back(std::move(twin));
}

InvocationId Slice::ChildOf(InvocationId scope, InvocationId inner) const {
  const auto& invocations = program().invocations;
  while (inner != kNoId && inner != scope) {
    const InvocationId parent = invocations.at(static_cast<size_t>(inner)).parent;
    if (parent == scope) return inner;
    inner = parent;
  }
  return kNoId;
}

std::vector<CallId> Slice::CallsOf(InvocationId id) const {
  std::vector<CallId> out;
  const program::Invocation& invocation = program().invocations.at(static_cast<size_t>(id));
  for (CallId c = invocation.begin; c < invocation.end; ++c) out.push_back(c);
  return out;
}

bool Slice::HasWhole(InvocationId id) const {
  const std::vector<CallId> calls = CallsOf(id);
  return !calls.empty() && std::all_of(calls.begin(), calls.end(), [&](CallId c) { return Has(c); });
}

std::vector<InvocationId> Slice::ChildrenOf(InvocationId id) const {
  std::vector<InvocationId> out;
  for (const program::Invocation& invocation : program().invocations) {
    if (invocation.parent == id) out.push_back(invocation.id);
  }
  return out;
}

std::vector<ValueId> Slice::Outputs(const std::vector<CallId>& calls) const {
  const std::set<CallId> inside(calls.begin(), calls.end());
  std::vector<ValueId> out;
  for (const CallId c : calls) {
    const Call& call = program().call(c);
    std::vector<ValueId> made = call.results;
    made.insert(made.end(), call.mutated_to.begin(), call.mutated_to.end());
    for (const ValueId id : made) {
      if (id == kNoId || std::find(out.begin(), out.end(), id) != out.end()) continue;
      const auto readers = readers_.find(id);
      const bool read_outside =
          readers != readers_.end() && std::any_of(readers->second.begin(), readers->second.end(),
                                                   [&](CallId reader) { return inside.count(reader) == 0; });
      if (read_outside || outputs_.count(id) > 0) out.push_back(id);
    }
  }
  return out;
}

std::string Slice::RelativePath(const std::vector<std::string>& paths, const std::string& module_path,
                                bool* found) {
  *found = true;
  if (module_path.empty() && !paths.empty()) return paths[0];
  const std::string head = module_path + ".";
  for (const std::string& path : paths) {
    if (absl::StartsWith(path, head)) return path.substr(head.size());
  }
  *found = false;
  return "";
}

}  // namespace strata::emit
