#include "worker/engine/plan/names.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/plan/kernel_names.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/text.h"

namespace strata::plan {
namespace {

// What may tell a component from another of the same base name, most telling first.
struct Feature {
  std::string label, token;
};

// A contraction with weights says most about its fusion or layer, one without (its dims are those of a whole
// batch) least.
int Rank(const KernelName& name) {
  if (name.operation.starts_with("conv") || name.operation == "linear") return 0;
  if (name.dims.empty()) return 2;
  return IsContraction(name.operation) ? 3 : 1;
}

class ComponentNamer {
 public:
  ComponentNamer(const Dataflow& flow, const std::vector<Node>& nodes, std::vector<Component>* components)
      : flow_(flow), nodes_(nodes), components_(*components) {}

  void Run(const std::string& model_name) {
    for (Component& component : components_) component.stem = BaseOf(component);
    if (components_[0].level != Level::kKernel) components_[0].stem = model_name;
    std::map<std::string, std::vector<Component*>> by_stem;
    for (Component& component : components_) {
      const bool is_model = component.id == 0 && component.level != Level::kKernel;
      if (!is_model) by_stem[component.stem].push_back(&component);
    }
    for (auto& [stem, group] : by_stem) {
      if (group.size() > 1) TellApart(group);
    }
    MakeUnique(model_name);
  }

 private:
  const Node& FirstNode(const Component& component) const {
    return nodes_[static_cast<size_t>(component.nodes[0])];
  }

  std::vector<KernelName> KernelNames(const Component& component) const {
    std::vector<KernelName> names;
    Collect(FirstNode(component), &names);
    return names;
  }
  void Collect(const Node& node, std::vector<KernelName>* names) const {
    if (node.level == Level::kKernel) {
      names->push_back(NameKernel(flow_, node));
      return;
    }
    for (const Item& item : node.body) {
      if (item.is_child) Collect(nodes_[static_cast<size_t>(item.index)], names);
    }
  }

  // Class or operation; fusions named by their operators carry the shape of the leading kernel.
  std::string BaseOf(const Component& component) const {
    const Node& node = FirstNode(component);
    if (component.level == Level::kKernel) return NameKernel(flow_, node).Stem();
    const std::string base = Identifier(node.operation, LevelName(component.level));
    if (!NamedByOperators(node)) return base;
    std::vector<KernelName> names = KernelNames(component);
    std::stable_sort(names.begin(), names.end(),
                     [](const KernelName& a, const KernelName& b) { return Rank(a) < Rank(b); });
    return names.empty() || names[0].dims.empty() ? base : absl::StrCat(base, "_", names[0].dims);
  }

  bool NamedByOperators(const Node& node) const {
    std::string joined;
    for (const Item& item : node.body) {
      if (!item.is_child) continue;
      const Node& child = nodes_[static_cast<size_t>(item.index)];
      if (child.level != Level::kKernel) return false;
      absl::StrAppend(&joined, joined.empty() ? "" : "_", ShortOperation(child.operation));
    }
    return joined == node.operation;
  }

  std::vector<Feature> FeaturesOf(const Component& component) const {
    std::vector<Feature> features;
    const Node& node = FirstNode(component);
    if (component.level != Level::kKernel) {
      AddKernelFeatures(KernelNames(component), component.level == Level::kLayer, &features);
    }
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      const auto& type = flow_.program().value(node.inputs[k]).type;
      features.push_back({absl::StrCat("rank", k), absl::StrCat(type.sizes.size(), "d")});
    }
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      const auto& type = flow_.program().value(node.inputs[k]).type;
      features.push_back({absl::StrCat("shape", k), Dims(type.sizes)});
    }
    const std::vector<std::string> literals = LiteralsOf(flow_, node);
    for (size_t k = 0; k < literals.size(); ++k)
      features.push_back({absl::StrCat("literal", k), literals[k]});
    features.push_back({"digest", component.digest.substr(0, 6)});
    return features;
  }

  // "64x256": what a block takes and gives, of its first and last weight.
  static std::string Ends(const std::string& first, const std::string& last) {
    return absl::StrCat(first.substr(0, first.find('x')), "x", last.substr(last.rfind('x') + 1));
  }

  // Kernels are counted per operation, so that one more of another kind shifts nothing.
  static void AddKernelFeatures(const std::vector<KernelName>& names, bool is_layer,
                                std::vector<Feature>* features) {
    std::map<std::string, int> count;
    std::vector<std::string> which, weighted;
    for (const KernelName& name : names) {
      if (Rank(name) == 0) weighted.push_back(name.dims);
    }
    for (const KernelName& name : names)
      which.push_back(absl::StrCat(name.operation, count[name.operation]++));
    if (is_layer && !weighted.empty()) features->push_back({"ends", Ends(weighted.front(), weighted.back())});
    for (int rank : {0, 1, 3}) {
      const char* label = rank == 3 ? "operands" : "dims";
      for (size_t k = 0; k < names.size(); ++k) {
        if (Rank(names[k]) == rank) features->push_back({absl::StrCat(label, which[k]), names[k].dims});
      }
    }
    for (size_t k = 0; k < names.size(); ++k) {
      for (const auto& [what, token] : names[k].settings)
        features->push_back({absl::StrCat(what, which[k]), token});
    }
    for (size_t k = 0; k < names.size(); ++k)
      features->push_back({absl::StrCat("op", which[k]), names[k].operation});
    for (size_t k = 0; k < names.size(); ++k)
      features->push_back({absl::StrCat("dtype", which[k]), names[k].dtypes});
    features->push_back({"count", absl::StrCat(names.size(), "kernels")});
  }

  // Appends, feature by feature, those that differ within the group, until all names differ.
  void TellApart(const std::vector<Component*>& group) {
    std::vector<std::map<std::string, std::string>> values;
    std::vector<std::string> labels;
    for (const Component* component : group) {
      values.emplace_back();
      for (const Feature& feature : FeaturesOf(*component)) {
        values.back().emplace(feature.label, feature.token);
        if (std::find(labels.begin(), labels.end(), feature.label) == labels.end())
          labels.push_back(feature.label);
      }
    }
    std::stable_sort(labels.begin(), labels.end(),
                     [](const std::string& a, const std::string& b) { return Order(a) < Order(b); });
    std::vector<std::string> suffixes(group.size());
    for (const std::string& label : labels) {
      std::set<std::string> tokens;
      for (auto& value : values) tokens.insert(value[label]);
      const size_t before = std::set<std::string>(suffixes.begin(), suffixes.end()).size();
      if (before == group.size()) break;
      if (tokens.size() < 2) continue;
      std::vector<std::string> longer = suffixes;
      for (size_t i = 0; i < group.size(); ++i) {
        if (!values[i][label].empty()) absl::StrAppend(&longer[i], "_", values[i][label]);
      }
      if (std::set<std::string>(longer.begin(), longer.end()).size() > before) suffixes = longer;
    }
    for (size_t i = 0; i < group.size(); ++i) Append(group[i], suffixes[i]);
  }

  // dims before settings before operations before shapes before literals before the digest.
  static int Order(const std::string& label) {
    static constexpr const char* kOrder[] = {"ends",  "dims",     "stride",  "kernel", "groups",
                                             "bias",  "op",       "count",   "dtype",  "rank",
                                             "shape", "operands", "literal", "digest"};
    int order = 0;
    for (const char* prefix : kOrder) {
      if (label.starts_with(prefix)) return order;
      ++order;
    }
    return 6;  // other settings, with the operations
  }

  // Of a kernel the dtype stays last.
  void Append(Component* component, const std::string& suffix) const {
    if (suffix.empty()) return;
    if (component->level != Level::kKernel) {
      component->stem += suffix;
      return;
    }
    const std::string dtypes = absl::StrCat("_", NameKernel(flow_, FirstNode(*component)).dtypes);
    std::string stem = component->stem;
    if (stem.ends_with(dtypes)) stem.resize(stem.size() - dtypes.size());
    component->stem = absl::StrCat(stem, suffix, dtypes);
  }

  void MakeUnique(const std::string& model_name) {
    std::set<std::string> taken;
    for (size_t i = 1; i < components_.size(); ++i) {
      std::string& stem = components_[i].stem;
      if (!taken.insert(stem).second) {
        absl::StrAppend(&stem, "_", LevelName(components_[i].level));
        if (!taken.insert(stem).second) {
          absl::StrAppend(&stem, "_", components_[i].digest.substr(0, 6));
          taken.insert(stem);
        }
      }
    }
    if (components_[0].level != Level::kKernel && taken.contains(model_name))
      components_[0].stem = absl::StrCat(model_name, "_model");
  }

  const Dataflow& flow_;
  const std::vector<Node>& nodes_;
  std::vector<Component>& components_;
};

}  // namespace

std::string ModelName(const std::string& source_file) {
  std::string stem = source_file;
  const size_t slash = stem.rfind('/');
  if (slash != std::string::npos) stem = stem.substr(slash + 1);
  if (stem.ends_with(".py")) stem.resize(stem.size() - 3);
  return Identifier(stem, "model");
}

std::string ShortOperation(const std::string& operation) {
  std::string name = operation;
  if (name.starts_with("conv_transpose")) return "conv_transpose";
  if (name.starts_with("conv") && name.size() > 4 && name.back() == 'd') return "conv";
  if (name.starts_with("batch_norm")) return "bn";
  if (name == "masked_softmax") return "softmax";
  for (const char* prefix :
       {"adaptive_avg_pool", "adaptive_max_pool", "max_pool", "avg_pool", "instance_norm"}) {
    if (name.starts_with(prefix)) return prefix;
  }
  return name;
}

void NameComponents(const Dataflow& flow, const std::vector<Node>& nodes, const std::string& model_name,
                    std::vector<Component>* components) {
  ComponentNamer(flow, nodes, components).Run(model_name);
}

void NumberSteps(std::vector<Component>* components) {
  int32_t step = 0;
  for (Component& component : *components) {
    if (component.level == Level::kKernel) continue;
    Level highest = Level::kKernel;
    for (ComponentId child : component.children)
      highest = std::max(highest, (*components)[static_cast<size_t>(child)].level);
    component.step = ++step;
    component.step_name = absl::StrCat("step_", step, "_", component.stem, "_to_", LevelName(highest), "s");
  }
}

}  // namespace strata::plan
