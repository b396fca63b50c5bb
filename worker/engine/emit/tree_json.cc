#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/emit/child_names.h"
#include "worker/engine/emit/component_doc.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/emit/input_names.h"
#include "worker/engine/plan/dataflow.h"

namespace strata::emit {
namespace {

using nlohmann::ordered_json;
using plan::Component;
using plan::Node;
using plan::Plan;
using program::ValueId;

const program::TensorType& TypeOf(const Plan& plan, ValueId id) { return plan.program.value(id).type; }

void AddTensors(const Plan& plan, const std::vector<ValueId>& values, const std::vector<std::string>& names,
                ordered_json* shapes, ordered_json* dtypes) {
  *shapes = ordered_json::object();
  *dtypes = ordered_json::object();
  for (size_t i = 0; i < values.size(); ++i) {
    (*shapes)[names.at(i)] = TypeOf(plan, values[i]).sizes;
    (*dtypes)[names.at(i)] = program::TorchName(TypeOf(plan, values[i]).dtype);
  }
}

// By node: the path of its module in the bundle's files, "" for the model. A parent's file is written from
// the first of its component's nodes: the n-th child of one is that of all.
std::vector<std::string> Scopes(const Plan& plan) {
  std::vector<std::string> scopes(plan.nodes.size());
  std::map<plan::ComponentId, ChildNames> names;
  std::vector<plan::NodeId> pending = {0};
  while (!pending.empty()) {
    const plan::NodeId id = pending.back();
    pending.pop_back();
    const Node& node = plan.nodes.at(static_cast<size_t>(id));
    const Component& component = plan.components.at(static_cast<size_t>(node.component));
    const Node& written = plan.nodes.at(static_cast<size_t>(component.nodes.at(0)));
    const ChildNames& file = names.try_emplace(component.id, plan, written).first->second;
    const std::string& scope = scopes[static_cast<size_t>(id)];
    for (size_t i = 0; i < node.body.size(); ++i) {
      if (!node.body[i].is_child) continue;
      const std::string path = file.Of(written.body.at(i).index).path();
      scopes.at(static_cast<size_t>(node.body[i].index)) =
          scope.empty() ? path : absl::StrCat(scope, ".", path);
      pending.push_back(node.body[i].index);
    }
  }
  return scopes;
}

// How often each node of the component stands in one forward: the runs of its parent's chain are already
// separate nodes, so every node counts once.
ordered_json Instances(const Component& component, const std::vector<std::string>& scopes) {
  std::vector<std::string> order;
  std::map<std::string, int64_t> calls;
  for (const plan::NodeId id : component.nodes) {
    const std::string& scope = scopes.at(static_cast<size_t>(id));
    if (calls[scope]++ == 0) order.push_back(scope);
  }
  ordered_json instances = ordered_json::array();
  for (const std::string& scope : order) instances.push_back({{"scope", scope}, {"calls", calls[scope]}});
  return instances;
}

ordered_json NodeJson(const Plan& plan, const Component& component, const std::vector<std::string>& scopes) {
  const Node& node = plan.nodes.at(static_cast<size_t>(component.nodes.at(0)));
  const std::vector<std::string> inputs = InputNames(plan, node);
  ordered_json json = {{"id", component.stem},
                       {"name", component.stem},
                       {"level", plan::LevelName(component.level)},
                       {"path", ComponentPath(plan, component.id)},
                       {"step", component.step_name},
                       {"operation", node.operation},
                       {"reason", node.reason}};
  json["children"] = ordered_json::array();
  json["calls"] = ordered_json::object();
  for (size_t i = 0; i < component.children.size(); ++i) {
    const std::string& stem = plan.components.at(static_cast<size_t>(component.children[i])).stem;
    json["children"].push_back(stem);
    json["calls"][stem] = component.calls.at(i);
  }
  json["instance_count"] = component.instance_count;
  json["instances"] = Instances(component, scopes);
  json["workloads"] = ordered_json::array();
  for (const plan::Workload& workload : component.workloads) {
    ordered_json shapes = ordered_json::object();
    for (size_t i = 0; i < workload.inputs.size(); ++i)
      shapes[inputs.at(i)] = TypeOf(plan, workload.inputs[i]).sizes;
    json["workloads"].push_back({{"input_shapes", shapes}, {"count", workload.count}});
  }
  const plan::Workload& main = component.workloads.at(0);
  ordered_json shapes, dtypes;
  AddTensors(plan, main.inputs, inputs, &shapes, &dtypes);
  json["input_shapes"] = shapes;
  json["input_dtypes"] = dtypes;
  AddTensors(plan, main.outputs, OutputNames(main.outputs.size()), &shapes, &dtypes);
  json["output_shapes"] = shapes;
  json["output_dtypes"] = dtypes;
  return json;
}

// One parent's tensors between its borders and its children's. A tensor that plumbing makes from others
// flows from all that it was made of.
class ParentFlow {
 public:
  ParentFlow(const Plan& plan, const Component& parent)
      : plan_(plan), parent_(parent), node_(plan.nodes.at(static_cast<size_t>(parent.nodes.at(0)))) {}

  void AppendTo(ordered_json* edges) {
    for (const ValueId id : node_.inputs) sources_[id] = {End("input")};
    std::map<plan::ComponentId, int> count;
    for (const plan::Item& item : node_.body) {
      if (!item.is_child) {
        Pass(plan_.program.call(item.index));
        continue;
      }
      const Node& child = plan_.nodes.at(static_cast<size_t>(item.index));
      const std::string stem = plan_.components.at(static_cast<size_t>(child.component)).stem;
      const std::string end = End(absl::StrCat(stem, "#", count[child.component]++));
      const std::vector<std::string> names = InputNames(plan_, child);
      for (size_t i = 0; i < child.inputs.size(); ++i) Edges(child.inputs[i], end, names.at(i), edges);
      for (const ValueId id : child.outputs) sources_[id] = {end};
    }
    const std::vector<std::string> names = OutputNames(node_.outputs.size());
    for (size_t i = 0; i < node_.outputs.size(); ++i) Edges(node_.outputs[i], End("output"), names[i], edges);
  }

 private:
  std::string End(const std::string& what) const { return absl::StrCat(parent_.stem, "/", what); }

  void Pass(const program::Call& call) {
    std::vector<std::string> from;
    std::set<std::string> seen;
    for (const ValueId id : program::Reads(call)) {
      for (const std::string& source : sources_[id]) {
        if (seen.insert(source).second) from.push_back(source);
      }
    }
    for (const ValueId id : call.results) sources_[id] = from;
    for (const ValueId id : call.mutated_to) sources_[id] = from;
  }

  void Edges(ValueId id, const std::string& to, const std::string& name, ordered_json* edges) {
    std::vector<std::string> from = sources_[id];
    if (from.empty()) from = {End("state")};  // a buffer or constant that the parent holds
    for (const std::string& source : from) {
      edges->push_back({{"from", source},
                        {"to", to},
                        {"tensor_name", name},
                        {"shape", TypeOf(plan_, id).sizes},
                        {"dtype", program::TorchName(TypeOf(plan_, id).dtype)}});
    }
  }

  const Plan& plan_;
  const Component& parent_;
  const Node& node_;
  std::map<ValueId, std::vector<std::string>> sources_;
};

}  // namespace

ordered_json TreeJson(const Plan& plan) {
  ordered_json by_level = {{"model", 0}, {"layer", 0}, {"fusion", 0}, {"kernel", 0}};
  for (const Component& component : plan.components) {
    ordered_json& count = by_level[plan::LevelName(component.level)];
    count = count.get<int>() + 1;
  }
  ordered_json tree;
  tree["metadata"] = {{"format_version", 1},
                      {"source_file", absl::StrCat("source/", plan.program.source_file)},
                      {"source_level", plan::LevelName(plan.components.at(0).level)},
                      {"model_name", plan.model_name},
                      {"timestamp", ""},
                      {"total_components", plan.components.size()},
                      {"by_level", by_level},
                      {"unique_kernels", by_level["kernel"]},
                      {"verification_status", "PENDING"}};
  tree["nodes"] = ordered_json::object();
  const std::vector<std::string> scopes = Scopes(plan);
  for (const Component& component : plan.components)
    tree["nodes"][component.stem] = NodeJson(plan, component, scopes);
  tree["data_flow"] = ordered_json::array();
  for (const Component& component : plan.components) {
    if (!component.children.empty()) ParentFlow(plan, component).AppendTo(&tree["data_flow"]);
  }
  return tree;
}

}  // namespace strata::emit
