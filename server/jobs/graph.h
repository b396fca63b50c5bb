#pragma once
// The component graph that prepare found (.strata/jobs.json) and the tasks it becomes. Pure.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/jobs/types.h"

namespace strata::jobs {

struct Component {
  std::string id;
  int level = 0;     // 0 kernel, 1 fusion, 2 layer, 3 model
  std::string step;  // "" exactly for kernels
  std::vector<std::string> children;
};

struct Graph {
  std::string root;
  std::vector<Component> components;  // tree order
};

constexpr size_t kMaxComponents = 5000;

// InvalidArgument, in words, unless: ids and steps are unique names, the root is one of them, every child
// exists, lies below its parent's level (which also rules out cycles), every component is reached from the
// root, and exactly the kernels have neither step nor children.
absl::Status CheckGraph(const Graph& graph);

// The tasks after prepare, in the order they should be given out. REQUIRES: CheckGraph(graph).ok().
std::vector<Task> TasksOf(const Graph& graph);

}  // namespace strata::jobs
