#include "worker/engine/verify/bundle_index.h"

#include <algorithm>

#include "worker/engine/verify/bundle_json.h"

namespace strata::verify {
namespace {

// Beyond this a count says nothing, and its product would overflow.
constexpr int64_t kMaxRuns = int64_t{1} << 40;
// Of one component: more than any model has that runs, each of them at least once, in its composition.
constexpr size_t kMaxInstances = 1'000'000;

std::vector<std::string> TextsOf(const nlohmann::ordered_json& list) {
  std::vector<std::string> texts;
  if (!list.is_array()) return texts;
  for (const auto& item : list) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
  return texts;
}

std::string Joined(const std::string& scope, const std::string& path) {
  return scope.empty() ? path : scope + "." + path;
}

}  // namespace

BundleIndex::BundleIndex(const BundleFiles& files, const BundleFacts& facts) : files_(files), facts_(facts) {
  for (size_t i = 0; i < files.components.size(); ++i) {
    const ComponentFile& component = files.components[i];
    component_at_.emplace(component.path, i);
    const ComponentFacts* known = FactsOf(component);
    if (known != nullptr && !known->programs.empty())
      executed_[component.path] = std::make_unique<ExecutedComponent>(known->programs[0]);
  }
  ReadTree();
  FindParents();
  FindRoot();
  CountRuns();
}

void BundleIndex::ReadTree() {
  const auto& nodes = At(files_.tree.value, "nodes");
  if (!nodes.is_object()) return;
  for (const auto& [id, json] : nodes.items()) {
    node_at_.emplace(id, nodes_.size());
    nodes_.push_back(
        {id, TextOf(At(json, "level")), TextOf(At(json, "path")), TextsOf(At(json, "children")), &json});
  }
}

const TreeNode* BundleIndex::NodeOf(const ComponentFile& component) const {
  for (const TreeNode& node : nodes_) {
    if (node.path == component.path) return &node;
  }
  return nullptr;
}

const ComponentFile* BundleIndex::ComponentOf(const std::string& node_id) const {
  const auto node = node_at_.find(node_id);
  if (node == node_at_.end()) return nullptr;
  const auto at = component_at_.find(nodes_[node->second].path);
  return at == component_at_.end() ? nullptr : &files_.components[at->second];
}

const ComponentFile* BundleIndex::ChildOf(const StepFolder& step, const std::string& stem) const {
  const auto child = step.children.find(stem);
  const ComponentFile* found = nullptr;
  for (const ComponentFile& component : files_.components) {
    if (component.stem != stem) continue;
    if (child != step.children.end() && component.text == child->second) return &component;
    if (found == nullptr) found = &component;
  }
  return found;
}

void BundleIndex::FindParents() {
  std::set<const ComponentFile*> taken;
  const auto take = [&](const StepFolder& step, const ComponentFile& component) {
    parent_[step.name] = &component;
    taken.insert(&component);
  };
  // Bytes decide, a name only between equal bytes.
  for (const StepFolder& step : files_.steps) {
    const ComponentFile* found = nullptr;
    for (const ComponentFile& component : files_.components) {
      if (!step.original || component.text != *step.original) continue;
      if (found == nullptr || component.stem == step.parent) found = &component;
    }
    if (found != nullptr) take(step, *found);
  }
  for (const StepFolder& step : files_.steps) {
    if (parent_.contains(step.name)) continue;
    std::set<std::string> stems;
    for (const auto& [stem, text] : step.children) stems.insert(stem);
    for (const ComponentFile& component : files_.components) {
      if (component.level == plan::Level::kKernel || taken.contains(&component)) continue;
      std::set<std::string> children;
      if (const TreeNode* node = NodeOf(component)) {
        for (const std::string& id : node->children) {
          if (const ComponentFile* child = ComponentOf(id)) children.insert(child->stem);
        }
      }
      if (component.stem != step.parent && (stems.empty() || children != stems)) continue;
      take(step, component);
      break;
    }
  }
}

const ComponentFile* BundleIndex::ParentOf(const StepFolder& step) const {
  const auto it = parent_.find(step.name);
  return it == parent_.end() ? nullptr : it->second;
}

std::vector<const StepFolder*> BundleIndex::StepsOf(const ComponentFile& component) const {
  std::vector<const StepFolder*> steps;
  for (const StepFolder& step : files_.steps) {
    if (ParentOf(step) == &component) steps.push_back(&step);
  }
  return steps;
}

std::vector<const ComponentFile*> BundleIndex::ChildrenOf(const ComponentFile& component) const {
  std::vector<const ComponentFile*> children;
  const auto add = [&](const ComponentFile* child) {
    if (child != nullptr && std::find(children.begin(), children.end(), child) == children.end())
      children.push_back(child);
  };
  for (const StepFolder* step : StepsOf(component)) {
    for (const auto& [stem, text] : step->children) add(ChildOf(*step, stem));
  }
  if (!children.empty()) return children;
  if (const TreeNode* node = NodeOf(component)) {
    for (const std::string& id : node->children) add(ComponentOf(id));
  }
  return children;
}

void BundleIndex::FindRoot() {
  std::set<const ComponentFile*> held;
  for (const ComponentFile& component : files_.components) {
    for (const ComponentFile* child : ChildrenOf(component)) {
      if (child != &component) held.insert(child);
    }
  }
  for (const ComponentFile& component : files_.components) {  // from level 3 down
    if (held.contains(&component)) continue;
    root_ = &component;
    return;
  }
}

const ComponentFacts* BundleIndex::FactsOf(const ComponentFile& component) const {
  const auto it = facts_.components.find(component.path);
  return it == facts_.components.end() ? nullptr : &it->second;
}

const ClaimFacts* BundleIndex::FactsOf(const StepFolder& step) const {
  const auto it = facts_.steps.find(step.name);
  return it == facts_.steps.end() || !it->second.judged ? nullptr : &it->second;
}

const ExecutedComponent* BundleIndex::Executed(const ComponentFile& component) const {
  const auto it = executed_.find(component.path);
  return it == executed_.end() ? nullptr : it->second.get();
}

const Runs& BundleIndex::RunsOf(const ComponentFile& component) const {
  static const auto* const kNone = new Runs;
  const auto it = runs_.find(component.path);
  return it == runs_.end() ? *kNone : it->second;
}

// The runs of one parent times the calls of its step at the workload of the same shapes.
bool BundleIndex::Multiply(const ComponentFile& parent) {
  const ComponentFacts* known = FactsOf(parent);
  const std::vector<const StepFolder*> steps = StepsOf(parent);
  const ClaimFacts* claim = steps.size() == 1 ? FactsOf(*steps[0]) : nullptr;
  if (known == nullptr || claim == nullptr || runs_[parent.path].empty()) return false;
  for (const auto& [at, runs] : Runs(runs_[parent.path])) {
    size_t workload = 0;
    while (workload < known->programs.size() &&
           SortedShapes(InputShapes(known->programs[workload])) != at.shapes)
      ++workload;
    if (workload >= claim->calls.size()) return false;
    for (const ChildCall& call : claim->calls[workload]) {
      const ComponentFile* child = ChildOf(*steps[0], call.stem);
      if (child == nullptr || child->level >= parent.level) return false;
      Runs& all = runs_[child->path];
      int64_t& count = all[{Joined(at.scope, call.path), SortedShapes(call.shapes)}];
      count = std::min(kMaxRuns, count + runs);
      if (all.size() > kMaxInstances) return false;
    }
  }
  return true;
}

void BundleIndex::CountRuns() {
  const ComponentFacts* known = root_ == nullptr ? nullptr : FactsOf(*root_);
  if (known == nullptr || known->programs.empty()) return;
  runs_[root_->path][{"", SortedShapes(InputShapes(known->programs[0]))}] = 1;
  // Levels fall from parent to child, so a parent's count is complete before its children's begin.
  for (const ComponentFile& component : files_.components) {
    if (component.level == plan::Level::kKernel || !runs_.contains(component.path)) continue;
    if (Multiply(component)) continue;
    runs_.clear();
    return;
  }
}

}  // namespace strata::verify
