#include "server/jobs/graph.h"

#include <unordered_map>
#include <unordered_set>

#include "absl/strings/str_cat.h"

namespace strata::jobs {
namespace {

bool IsFileStem(const std::string& id) {
  if (id.empty() || id.size() > 200) return false;
  for (char c : id) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!ok) return false;
  }
  return true;
}

absl::Status Wrong(const std::string& what) { return absl::InvalidArgumentError(what); }

absl::Status CheckComponent(const Component& c) {
  if (!IsFileStem(c.id))
    return Wrong(absl::StrCat("component id '", c.id, "' is no file stem of [A-Za-z0-9_]"));
  if (c.level < 0 || c.level > 3) return Wrong(absl::StrCat("component ", c.id, " has no level of the four"));
  const bool kernel = c.level == 0;
  if (kernel != c.step.empty())
    return Wrong(absl::StrCat("component ", c.id, ": kernels and only they have no step"));
  if (!kernel && !IsFileStem(c.step))
    return Wrong(absl::StrCat("component ", c.id, ": step '", c.step, "' is no name"));
  if (!kernel && c.children.empty())
    return Wrong(absl::StrCat("component ", c.id, " has no children and is no kernel"));
  if (kernel && !c.children.empty()) return Wrong(absl::StrCat("kernel ", c.id, " has children"));
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckGraph(const Graph& graph) {
  if (graph.components.size() > kMaxComponents) {
    return Wrong(absl::StrCat(graph.components.size(), " components, over the limit of ", kMaxComponents));
  }
  std::unordered_map<std::string, const Component*> by_id;
  std::unordered_set<std::string> steps;
  for (const Component& c : graph.components) {
    if (absl::Status s = CheckComponent(c); !s.ok()) return s;
    if (!by_id.emplace(c.id, &c).second) return Wrong(absl::StrCat("component ", c.id, " appears twice"));
    if (c.level > 0 && !steps.insert(c.step).second)
      return Wrong(absl::StrCat("step ", c.step, " appears twice"));
  }
  if (!by_id.count(graph.root)) return Wrong(absl::StrCat("root '", graph.root, "' is no component"));
  std::unordered_set<std::string> reached = {graph.root};
  std::vector<const Component*> todo = {by_id[graph.root]};
  while (!todo.empty()) {
    const Component* parent = todo.back();
    todo.pop_back();
    for (const std::string& child : parent->children) {
      const auto it = by_id.find(child);
      if (it == by_id.end())
        return Wrong(absl::StrCat("child '", child, "' of ", parent->id, " is no component"));
      if (it->second->level >= parent->level) {
        return Wrong(absl::StrCat("child ", child, " is not below the level of its parent ", parent->id));
      }
      if (reached.insert(child).second) todo.push_back(it->second);
    }
  }
  for (const Component& c : graph.components) {
    if (!reached.count(c.id))
      return Wrong(absl::StrCat("component ", c.id, " is not reached from ", graph.root));
  }
  return absl::OkStatus();
}

std::vector<Task> TasksOf(const Graph& graph) {
  std::unordered_map<std::string, std::vector<TaskId>> gates;  // child → verify tasks of its parents
  for (const Component& c : graph.components) {
    std::unordered_set<std::string> seen;
    for (const std::string& child : c.children) {
      if (seen.insert(child).second) gates[child].push_back("verify/" + c.id);
    }
  }
  std::vector<Task> tasks;
  std::vector<TaskId> all_gates;
  const auto add = [&tasks](TaskId id, TaskKind kind, const Component* c, std::vector<TaskId> after) {
    Task task;
    task.id = std::move(id);
    task.kind = kind;
    if (c != nullptr) {
      task.component = c->id;
      task.step = c->step;
    }
    task.after = std::move(after);
    tasks.push_back(std::move(task));
  };
  for (const Component& c : graph.components) {
    if (c.level == 0) continue;
    std::vector<TaskId> after = gates[c.id];
    if (c.id == graph.root) after = {"prepare"};
    add("decompose/" + c.id, TaskKind::kDecompose, &c, std::move(after));
    add("verify/" + c.id, TaskKind::kVerify, &c, {"decompose/" + c.id});
    all_gates.push_back("verify/" + c.id);
  }
  if (all_gates.empty()) all_gates = {"prepare"};
  add("compose", TaskKind::kCompose, nullptr, all_gates);
  add("coverage", TaskKind::kCoverage, nullptr, {"compose"});
  add("publish", TaskKind::kPublish, nullptr, {"coverage"});
  return tasks;
}

}  // namespace strata::jobs
