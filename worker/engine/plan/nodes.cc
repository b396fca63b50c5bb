#include "worker/engine/plan/nodes.h"

#include <algorithm>
#include <map>
#include <set>

#include "worker/engine/plan/pattern_tools.h"
#include "worker/engine/plan/text.h"

namespace strata::plan {
namespace {

using program::CallId;
using program::kNoId;
using program::Value;
using program::ValueId;
using program::ValueKind;

class NodeBuilder {
 public:
  explicit NodeBuilder(const PartContext& context) : context_(context) {}

  std::vector<Node> Build(const Part& root) {
    Add(root, -1);
    nodes_[0].scope = 0;
    FindReaders();
    FindHolders();
    for (Node& node : nodes_) {
      node.inputs = Inputs(node);
      node.outputs = Outputs(node);
      node.owned = Owned(node);
      for (ValueId value : node.owned) {
        if (Holds(node.id, value)) node.held.push_back(value);
      }
    }
    return std::move(nodes_);
  }

 private:
  Node& node(NodeId id) { return nodes_[static_cast<size_t>(id)]; }
  const Node& node(NodeId id) const { return nodes_[static_cast<size_t>(id)]; }

  NodeId Add(const Part& part, NodeId parent) {
    const auto id = static_cast<NodeId>(nodes_.size());
    nodes_.emplace_back();
    Node made;
    made.id = id;
    made.parent = parent;
    made.level = part.level;
    made.scope = part.scope;
    made.calls = CallsOf(context_, part);
    made.operation = part.operation;
    made.reason = part.reason;
    made.form = IsOneModule(part, made) ? NodeForm::kModule : NodeForm::kSlice;
    if (part.level == Level::kKernel) {
      for (const Kernel* kernel : KernelsOf(context_, part)) {
        if (kernel->parameter != kNoId) returned_[kernel->parameter] = id;
      }
    } else {
      for (const Part& inner : part.parts) {
        if (inner.is_unit()) {
          made.body.push_back({true, Add(inner, id)});
        } else {
          made.body.push_back({false, inner.call});
        }
      }
    }
    nodes_[static_cast<size_t>(id)] = std::move(made);
    return id;
  }

  bool IsOneModule(const Part& part, const Node& made) const {
    if (part.kind == Part::Kind::kSlice || made.calls.empty()) return false;
    if (part.kind == Part::Kind::kKernel && context_.kernel(part).module == kNoId) return false;
    const auto& invocation = context_.program.invocations[static_cast<size_t>(part.scope)];
    return made.calls.front() == invocation.begin && made.calls.back() + 1 == invocation.end &&
           made.calls.size() == static_cast<size_t>(invocation.end - invocation.begin);
  }

  bool IsInside(NodeId inner, NodeId outer) const {
    while (inner >= 0 && inner != outer) inner = node(inner).parent;
    return inner == outer;
  }

  NodeId CommonAncestor(NodeId a, NodeId b) const {
    while (!IsInside(b, a)) a = node(a).parent;
    return a;
  }

  // The node whose own forward executes each call: a kernel, or the parent of plumbing.
  void FindReaders() {
    runs_in_.assign(context_.program.calls.size(), 0);
    for (const Node& n : nodes_) {  // pre-order: the innermost comes last
      if (n.level == Level::kKernel) {
        for (CallId call : n.calls) runs_in_[static_cast<size_t>(call)] = n.id;
      }
      for (const Item& item : n.body) {
        if (!item.is_child) runs_in_[static_cast<size_t>(item.index)] = n.id;
      }
    }
  }

  bool IsKernelRead(CallId call) const {
    return node(runs_in_[static_cast<size_t>(call)]).level == Level::kKernel;
  }

  // Parameters, and buffers of torch.nn modules, are held by whichever kernel reads them; other buffers and
  // constants by their only reader, or by the innermost node round all of them.
  void FindHolders() {
    std::set<ValueId> of_torch;
    for (const program::Module& module : context_.program.modules) {
      if (!module.is_torch_nn) continue;
      for (const auto& [name, value] : module.buffers) of_torch.insert(value);
    }
    for (const Value& value : context_.program.values) {
      if (value.is_wrapped_number) continue;
      const bool shared = value.kind == ValueKind::kBuffer || value.kind == ValueKind::kConstant;
      if (!shared && value.kind != ValueKind::kParameter) continue;
      std::set<NodeId> readers;
      for (CallId call : context_.flow.readers(value.id)) readers.insert(runs_in_[static_cast<size_t>(call)]);
      if (readers.empty()) {
        // A model may hand out a weight untouched.
        if (context_.flow.is_output(value.id)) holders_[value.id] = {0};
        continue;
      }
      if (value.kind == ValueKind::kParameter || of_torch.contains(value.id)) {
        std::set<NodeId> kernels;
        for (NodeId reader : readers) {
          if (node(reader).level == Level::kKernel) kernels.insert(reader);
        }
        const auto returned = returned_.find(value.id);
        if (returned != returned_.end()) kernels.insert(returned->second);
        if (kernels.empty()) kernels.insert(*readers.begin());
        holders_[value.id] = kernels;
        continue;
      }
      NodeId owner = *readers.begin();
      for (NodeId reader : readers) owner = CommonAncestor(owner, reader);
      holders_[value.id] = {owner};
    }
  }

  bool Holds(NodeId id, ValueId value) const {
    const auto it = holders_.find(value);
    return it != holders_.end() && it->second.contains(id);
  }

  bool HeldInside(NodeId id, ValueId value) const {
    const auto it = holders_.find(value);
    if (it == holders_.end()) return false;
    return std::any_of(it->second.begin(), it->second.end(),
                       [&](NodeId holder) { return IsInside(holder, id); });
  }

  // What `call`, running inside `n`, takes from outside of `n`.
  bool ComesFromOutside(const Node& n, CallId call, ValueId value) const {
    const Value& v = context_.program.value(value);
    if (v.is_wrapped_number) return false;
    switch (v.kind) {
      case ValueKind::kInput:
        return true;
      case ValueKind::kResult: {
        const CallId producer = context_.flow.producer(value);
        return producer == kNoId || !std::binary_search(n.calls.begin(), n.calls.end(), producer);
      }
      case ValueKind::kParameter:
        return !IsKernelRead(call) && !HeldInside(n.id, value);
      case ValueKind::kBuffer:
      case ValueKind::kConstant:
        return !HeldInside(n.id, value);
    }
    return true;
  }

  std::vector<CallId> InBodyOrder(const Node& n) const {
    if (n.level == Level::kKernel) return n.calls;
    std::vector<CallId> calls;
    for (const Item& item : n.body) {
      if (!item.is_child) {
        calls.push_back(item.index);
        continue;
      }
      const std::vector<CallId> inner = InBodyOrder(node(item.index));
      calls.insert(calls.end(), inner.begin(), inner.end());
    }
    return calls;
  }

  std::vector<ValueId> Inputs(const Node& n) const {
    std::vector<ValueId> used;
    for (CallId call : InBodyOrder(n)) {
      for (ValueId read : program::Reads(context_.program.call(call))) {
        if (!ComesFromOutside(n, call, read)) continue;
        if (std::find(used.begin(), used.end(), read) == used.end()) used.push_back(read);
      }
    }
    if (n.form != NodeForm::kModule && n.id != 0) return used;
    // A module takes its inputs in the order of its own forward; the model takes all of them.
    const auto& invocation = context_.program.invocations[static_cast<size_t>(n.scope)];
    std::vector<ValueId> ordered;
    for (const ValueId value : program::TensorsOfArguments(invocation)) {
      const bool wanted = n.id == 0 || std::find(used.begin(), used.end(), value) != used.end();
      if (wanted && std::find(ordered.begin(), ordered.end(), value) == ordered.end())
        ordered.push_back(value);
    }
    for (ValueId value : used) {
      if (std::find(ordered.begin(), ordered.end(), value) == ordered.end()) ordered.push_back(value);
    }
    return ordered;
  }

  std::vector<ValueId> Outputs(const Node& n) const {
    const std::set<CallId> inside(n.calls.begin(), n.calls.end());
    std::vector<ValueId> out;
    const auto leaves = [&](ValueId value) {
      if (context_.flow.is_output(value)) return true;
      const auto& readers = context_.flow.readers(value);
      return std::any_of(readers.begin(), readers.end(),
                         [&](CallId reader) { return !inside.contains(reader); });
    };
    for (const auto& [parameter, kernel] : returned_) {
      if (IsInside(kernel, n.id) && (kernel == n.id || leaves(parameter))) out.push_back(parameter);
    }
    for (CallId call : InBodyOrder(n)) {
      for (ValueId made : context_.flow.makes(call)) {
        if (leaves(made)) out.push_back(made);
      }
    }
    if (n.form != NodeForm::kModule && n.id != 0) return out;
    const auto& invocation = context_.program.invocations[static_cast<size_t>(n.scope)];
    std::vector<ValueId> ordered;
    for (const ValueId value : program::Tensors(invocation.output)) {
      const bool wanted = n.id == 0 || std::find(out.begin(), out.end(), value) != out.end();
      if (wanted && std::find(ordered.begin(), ordered.end(), value) == ordered.end())
        ordered.push_back(value);
    }
    for (ValueId value : out) {
      if (n.id != 0 && std::find(ordered.begin(), ordered.end(), value) == ordered.end())
        ordered.push_back(value);
    }
    return ordered;
  }

  // In order of first use below `n`.
  void CollectOwned(NodeId at, NodeId root, std::vector<ValueId>* owned) const {
    const auto take = [&](CallId call) {
      for (ValueId read : program::Reads(context_.program.call(call))) {
        if (HeldInside(root, read) && std::find(owned->begin(), owned->end(), read) == owned->end())
          owned->push_back(read);
      }
    };
    const Node& n = node(at);
    if (n.level == Level::kKernel) {
      for (CallId call : n.calls) take(call);
      for (const auto& [parameter, kernel] : returned_) {
        if (kernel == at && std::find(owned->begin(), owned->end(), parameter) == owned->end())
          owned->push_back(parameter);
      }
      return;
    }
    for (const Item& item : n.body) {
      if (item.is_child) {
        CollectOwned(item.index, root, owned);
      } else {
        take(item.index);
      }
    }
  }

  std::vector<ValueId> Owned(const Node& n) const {
    std::vector<ValueId> owned;
    CollectOwned(n.id, n.id, &owned);
    return owned;
  }

  const PartContext& context_;
  std::vector<Node> nodes_;
  std::vector<NodeId> runs_in_;         // per call
  std::map<ValueId, NodeId> returned_;  // parameter -> the kernel that returns it
  std::map<ValueId, std::set<NodeId>> holders_;
};

}  // namespace

std::vector<Node> BuildNodes(const PartContext& context, const Part& root) {
  return NodeBuilder(context).Build(root);
}

}  // namespace strata::plan
