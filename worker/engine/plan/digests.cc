#include "worker/engine/plan/digests.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/pattern_tools.h"
#include "worker/engine/plan/text.h"

namespace strata::plan {
namespace {

using program::Argument;
using program::Call;
using program::CallId;
using program::kNoId;
using program::Value;
using program::ValueId;

uint64_t Fnv(std::string_view text, uint64_t hash) {
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

std::string DataDigest(const std::vector<uint8_t>& data) {
  return DigestOf(std::string(data.begin(), data.end()));
}

// Numbers the values of one node by where they come from, so that instances read alike.
class Spelling {
 public:
  Spelling(const Dataflow& flow, const Node& node) : flow_(flow), program_(flow.program()) {
    for (ValueId id : node.inputs) {
      names_.emplace(id, absl::StrCat("i", names_.size()));
      absl::StrAppend(&head_, names_[id], ":", ShortName(program_.value(id).type.dtype), " ");
    }
    // A weight that is also an input (a parameter handed round) keeps its input's number.
    for (size_t k = 0; k < node.owned.size(); ++k) {
      names_.emplace(node.owned[k], absl::StrCat("w", k));
      absl::StrAppend(&head_, Weight(node.owned[k]), " ");
    }
    for (ValueId id : node.held) absl::StrAppend(&head_, "holds ", Name(id), " ");
  }

  const std::string& head() const { return head_; }

  std::string Name(ValueId id) {
    if (id == kNoId) return "undefined";
    const Value& value = program_.value(id);
    if (value.is_wrapped_number) return absl::StrCat("#", DataDigest(value.data));
    const auto it = names_.find(id);
    if (it != names_.end()) return it->second;
    return names_.emplace(id, absl::StrCat("v", names_.size())).first->second;
  }

  std::string Results(const Call& call) {
    std::string text;
    for (ValueId id : flow_.makes(call.id))
      absl::StrAppend(&text, Name(id), ":", ShortName(program_.value(id).type.dtype), " ");
    return text;
  }

  std::string CallText(const Call& call) {
    std::string text = absl::StrCat(program::OperatorName(call.op), ".", call.overload, "(");
    if (!call.mutated.empty()) text = absl::StrCat(call.op, ".", call.overload, "(");
    for (const program::NamedArgument& argument : call.args) {
      if (argument.name == "cudnn_enabled" || argument.name == "cudnn_enable") continue;
      absl::StrAppend(&text, argument.name, "=", ArgumentText(argument.value), ",");
    }
    absl::StrAppend(&text, ")");
    const std::string op = NameOf(call);
    bool weighs = false;
    for (ValueId id : patterns::Tensors(flow_, call)) weighs |= patterns::IsWeight(flow_, id);
    if (IsContraction(op) && !weighs) {
      for (ValueId id : patterns::Tensors(flow_, call))
        absl::StrAppend(&text, Dims(program_.value(id).type.sizes), ";");
    }
    if (op == "batch_norm" || op == "instance_norm") {
      const std::vector<ValueId> reads = program::Reads(call);
      if (!reads.empty()) absl::StrAppend(&text, "rank", program_.value(reads[0]).type.sizes.size());
    }
    return absl::StrCat(Results(call), "= ", text);
  }

 private:
  std::string Weight(ValueId id) {
    const Value& value = program_.value(id);
    static constexpr const char* kKinds[] = {"input", "param", "buffer", "constant", "result"};
    std::string text = absl::StrCat(names_[id], ":", kKinds[static_cast<size_t>(value.kind)], ":",
                                    ShortName(value.type.dtype), "[", Dims(value.type.sizes), "]");
    if (!value.data.empty()) absl::StrAppend(&text, ":", DataDigest(value.data));
    return text;
  }

  std::string ArgumentText(const Argument& a) {
    switch (a.kind) {
      case Argument::Kind::kNone:
        return "None";
      case Argument::Kind::kValue:
        return Name(a.value);
      case Argument::Kind::kBool:
        return a.boolean ? "True" : "False";
      case Argument::Kind::kInt:
        return absl::StrCat(a.integer);
      case Argument::Kind::kDouble:
        return absl::StrFormat("%.17g", a.real);
      case Argument::Kind::kComplex:
        return absl::StrFormat("%.17g+%.17gj", a.real, a.imag);
      case Argument::Kind::kDType:
        return ShortName(a.dtype);
      case Argument::Kind::kList: {
        std::string text = "[";
        for (const Argument& item : a.items) absl::StrAppend(&text, ArgumentText(item), ",");
        return text + "]";
      }
      default:
        return a.text;
    }
  }

  const Dataflow& flow_;
  const program::Program& program_;
  std::map<ValueId, std::string> names_;
  std::string head_;
};

std::string Border(Spelling* spelling, const std::vector<ValueId>& values) {
  std::string text;
  for (ValueId id : values) absl::StrAppend(&text, spelling->Name(id), ",");
  return text;
}

std::vector<Workload> Workloads(const program::Program& program, const std::vector<Node>& nodes,
                                const Component& component) {
  std::vector<Workload> workloads;
  std::map<std::string, size_t> by_shape;
  for (NodeId id : component.nodes) {
    const Node& node = nodes[static_cast<size_t>(id)];
    std::string key;
    for (ValueId value : node.inputs) absl::StrAppend(&key, Dims(program.value(value).type.sizes), ";");
    const auto [it, is_new] = by_shape.emplace(key, workloads.size());
    if (is_new) workloads.push_back({node.inputs, node.outputs, id, 0});
    ++workloads[it->second].count;
  }
  const auto volume = [&](const Workload& workload) {
    int64_t sum = 0;
    for (ValueId value : workload.inputs) {
      int64_t elements = 1;
      for (int64_t size : program.value(value).type.sizes) elements *= size;
      sum += elements;
    }
    return sum;
  };
  std::stable_sort(workloads.begin(), workloads.end(),
                   [&](const Workload& a, const Workload& b) { return volume(a) > volume(b); });
  return workloads;
}

}  // namespace

std::string DigestOf(const std::string& identity) {
  const uint64_t low = Fnv(identity, 0xcbf29ce484222325);
  const uint64_t high = Fnv(identity, Fnv("second half", low));
  return absl::StrCat(absl::Hex(high, absl::kZeroPad16), absl::Hex(low, absl::kZeroPad16));
}

std::string Identity(const Dataflow& flow, const std::vector<Node>& nodes, const Node& node,
                     const std::vector<std::string>& identities) {
  const program::Program& program = flow.program();
  Spelling spelling(flow, node);
  std::string text =
      absl::StrCat(LevelName(node.level), node.id == 0 ? " model " : " ", spelling.head(), "\n");
  if (node.level == Level::kKernel) {
    for (CallId call : node.calls) absl::StrAppend(&text, spelling.CallText(program.call(call)), "\n");
  }
  for (const Item& item : node.body) {
    if (!item.is_child) {
      absl::StrAppend(&text, spelling.CallText(program.call(item.index)), "\n");
      continue;
    }
    const Node& child = nodes[static_cast<size_t>(item.index)];
    const std::string outputs = Border(&spelling, child.outputs);
    absl::StrAppend(&text, outputs, "= ", identities[static_cast<size_t>(item.index)], "(",
                    Border(&spelling, child.inputs), "|", Border(&spelling, child.owned), ")\n");
  }
  absl::StrAppend(&text, "return ", Border(&spelling, node.outputs));
  return text;
}

std::vector<Component> BuildComponents(const Dataflow& flow, std::vector<Node>* nodes) {
  std::vector<std::string> digests(nodes->size());
  for (size_t i = nodes->size(); i-- > 0;) {
    digests[i] = DigestOf(Identity(flow, *nodes, (*nodes)[i], digests));
  }
  std::vector<Component> components;
  std::map<std::string, ComponentId> by_digest;
  for (Node& node : *nodes) {
    const std::string& digest = digests[static_cast<size_t>(node.id)];
    const auto [it, is_new] = by_digest.emplace(digest, static_cast<ComponentId>(components.size()));
    if (is_new) {
      Component component;
      component.id = it->second;
      component.digest = digest;
      component.level = node.level;
      components.push_back(std::move(component));
    }
    node.component = it->second;
    Component& component = components[static_cast<size_t>(it->second)];
    component.nodes.push_back(node.id);
    ++component.instance_count;
  }
  for (Component& component : components) {
    const Node& first = (*nodes)[static_cast<size_t>(component.nodes[0])];
    for (const Item& item : first.body) {
      if (!item.is_child) continue;
      const ComponentId child = (*nodes)[static_cast<size_t>(item.index)].component;
      const auto at = std::find(component.children.begin(), component.children.end(), child);
      if (at == component.children.end()) {
        component.children.push_back(child);
        component.calls.push_back(1);
      } else {
        ++component.calls[static_cast<size_t>(at - component.children.begin())];
      }
    }
    component.workloads = Workloads(flow.program(), *nodes, component);
  }
  return components;
}

}  // namespace strata::plan
