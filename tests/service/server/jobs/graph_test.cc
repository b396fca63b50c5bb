#include "server/jobs/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace strata::jobs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Graph Transformer() {
  return {"gpt",
          {{"gpt", 3, "step_1", {"block", "embedding"}},
           {"block", 2, "step_2", {"attention", "mlp", "norm"}},
           {"attention", 1, "step_3", {"linear"}},
           {"mlp", 1, "step_4", {"linear"}},
           {"embedding", 0, "", {}},
           {"norm", 0, "", {}},
           {"linear", 0, "", {}}}};
}

std::vector<TaskId> After(const std::vector<Task>& tasks, const TaskId& id) {
  for (const Task& task : tasks) {
    if (task.id == id) return task.after;
  }
  return {"no such task"};
}

TEST(TasksOf, ChildIsReleasedByTheGatesOfAllItsParents) {
  Graph graph = Transformer();
  graph.components[0].children.push_back("mlp");  // used by model and block
  ASSERT_TRUE(CheckGraph(graph).ok());
  const auto tasks = TasksOf(graph);
  EXPECT_THAT(After(tasks, "decompose/gpt"), ElementsAre("prepare"));
  EXPECT_THAT(After(tasks, "verify/gpt"), ElementsAre("decompose/gpt"));
  EXPECT_THAT(After(tasks, "decompose/mlp"), ElementsAre("verify/gpt", "verify/block"));
  EXPECT_THAT(After(tasks, "compose"),
              ElementsAre("verify/gpt", "verify/block", "verify/attention", "verify/mlp"));
  EXPECT_THAT(After(tasks, "coverage"), ElementsAre("compose"));
  EXPECT_THAT(After(tasks, "publish"), ElementsAre("coverage"));
}

TEST(TasksOf, KernelsHaveNoTasks) {
  EXPECT_THAT(After(TasksOf(Transformer()), "verify/linear"), ElementsAre("no such task"));
}

TEST(TasksOf, ModelThatIsOneKernelIsComposedAtOnce) {
  const Graph graph = {"relu_fp32", {{"relu_fp32", 0, "", {}}}};
  ASSERT_TRUE(CheckGraph(graph).ok());
  EXPECT_THAT(After(TasksOf(graph), "compose"), ElementsAre("prepare"));
}

TEST(CheckGraph, RefusesWhatNoPlannerMayWrite) {
  struct Case {
    const char* message;
    void (*spoil)(Graph&);
  };
  const Case cases[] = {
      {"is no file stem", [](Graph& g) { g.components[1].id = "../block"; }},
      {"appears twice", [](Graph& g) { g.components[3].id = "attention"; }},
      {"step step_3 appears twice", [](Graph& g) { g.components[3].step = "step_3"; }},
      {"is no name", [](Graph& g) { g.components[3].step = "step/../x"; }},
      {"root 'x' is no component", [](Graph& g) { g.root = "x"; }},
      {"child 'x' of block is no component", [](Graph& g) { g.components[1].children = {"x"}; }},
      {"not below the level", [](Graph& g) { g.components[2].children = {"gpt"}; }},
      {"is not reached", [](Graph& g) { g.components[0].children = {"block"}; }},
      {"only they have no step", [](Graph& g) { g.components[1].step = ""; }},
      {"only they have no step", [](Graph& g) { g.components[5].step = "step_9"; }},
      {"has no children", [](Graph& g) { g.components[2].children = {}; }},
      {"kernel norm has children", [](Graph& g) { g.components[5].children = {"linear"}; }},
      {"has no level", [](Graph& g) { g.components[1].level = 7; }},
  };
  for (const Case& c : cases) {
    Graph graph = Transformer();
    c.spoil(graph);
    EXPECT_THAT(std::string(CheckGraph(graph).message()), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace strata::jobs
