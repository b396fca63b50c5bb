// decomposition_tree.json
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "tests/engine/emit/models.h"

namespace strata::emit {
namespace {

using namespace program;
using nlohmann::ordered_json;
using plan::Net;
using plan::Plan;
using testing::Contains;
using testing::ElementsAre;
using testing::IsSupersetOf;
using testing::Not;

const std::vector<std::string> kLevels = {"kernel", "fusion", "layer", "model"};

size_t LevelOf(const ordered_json& node) {
  return static_cast<size_t>(std::find(kLevels.begin(), kLevels.end(), node["level"].get<std::string>()) -
                             kLevels.begin());
}

std::vector<std::string> KeysOf(const ordered_json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

// "FROM -> TO NAME [SHAPE]" of every edge with an end in `parent`.
std::vector<std::string> EdgesOf(const ordered_json& tree, const std::string& parent) {
  std::vector<std::string> out;
  for (const ordered_json& edge : tree["data_flow"]) {
    const auto from = edge["from"].get<std::string>(), to = edge["to"].get<std::string>();
    if (!absl::StartsWith(from, parent + "/")) continue;
    out.push_back(from + " -> " + to + " " + edge["tensor_name"].get<std::string>() + " " +
                  edge["shape"].dump());
  }
  return out;
}

TEST(Tree, MetadataCountsTheComponents) {
  const Plan plan = TinyGpt();
  const ordered_json tree = TreeJson(plan), &metadata = tree["metadata"];
  EXPECT_EQ(metadata["format_version"], 1);
  EXPECT_EQ(metadata["source_file"], "source/gpt.py");
  EXPECT_EQ(metadata["source_level"], "model");
  EXPECT_EQ(metadata["model_name"], "gpt");
  EXPECT_EQ(metadata["verification_status"], "PENDING");
  EXPECT_EQ(metadata["timestamp"], "");
  EXPECT_EQ(metadata["total_components"], tree["nodes"].size());
  std::map<std::string, int> counts;
  for (const ordered_json& node : tree["nodes"]) ++counts[node["level"].get<std::string>()];
  for (const std::string& level : kLevels) EXPECT_EQ(metadata["by_level"][level], counts[level]) << level;
  EXPECT_EQ(metadata["by_level"]["layer"], 1);
  EXPECT_EQ(metadata["by_level"]["fusion"], 2);
  EXPECT_EQ(metadata["unique_kernels"], counts["kernel"]);
}

TEST(Tree, ANodeSaysWhatItIsAndWhatItCalls) {
  const ordered_json tree = TreeJson(TinyGpt()), &block = tree["nodes"]["block"];
  EXPECT_THAT(KeysOf(block),
              IsSupersetOf({"id", "name", "level", "path", "children", "calls", "instance_count", "instances",
                            "workloads", "input_shapes", "output_shapes", "input_dtypes", "output_dtypes"}));
  EXPECT_EQ(block["id"], "block");
  EXPECT_EQ(block["path"], "level_2_layer/block.py");
  EXPECT_EQ(block["children"], ordered_json({"layer_norm_8_fp32", "attention", "mlp"}));
  EXPECT_EQ(block["calls"], ordered_json({{"layer_norm_8_fp32", 2}, {"attention", 1}, {"mlp", 1}}));
  EXPECT_EQ(block["instances"].dump(), R"([{"scope":"blocks.0","calls":1},{"scope":"blocks.1","calls":1}])");
  EXPECT_EQ(block["workloads"].dump(), R"([{"input_shapes":{"x":[2,4,8]},"count":2}])");
  EXPECT_EQ(block["input_dtypes"].dump(), R"({"x":"torch.float32"})");
  EXPECT_EQ(block["output_shapes"].dump(), R"({"output":[2,4,8]})");
  EXPECT_EQ(tree["nodes"]["embedding_50x8_i64_fp32"]["input_dtypes"].dump(), R"({"x":"torch.int64"})");
}

TEST(Tree, EveryLeafIsAKernelAndNoKernelHasChildren) {
  for (const ordered_json& tree : {TreeJson(TinyGpt()), TreeJson(Mlp())}) {
    for (const ordered_json& node : tree["nodes"]) {
      EXPECT_EQ(node["children"].empty(), node["level"] == "kernel") << node["id"];
    }
  }
}

TEST(Tree, AChildIsOfALowerLevelThanItsParent) {
  const ordered_json tree = TreeJson(TinyGpt());
  for (const ordered_json& node : tree["nodes"]) {
    for (const auto& child : node["children"]) {
      ASSERT_TRUE(tree["nodes"].contains(child.get<std::string>())) << child;
      EXPECT_LT(LevelOf(tree["nodes"][child.get<std::string>()]), LevelOf(node))
          << child << " of " << node["id"];
    }
  }
}

TEST(Tree, InstanceCountIsTheParentsCallsTimesTheirCounts) {
  for (const ordered_json& tree : {TreeJson(TinyGpt()), TreeJson(Mlp())}) {
    const std::string root = tree["nodes"].begin().key();
    for (const auto& [id, node] : tree["nodes"].items()) {
      int64_t runs = id == root ? 1 : 0;
      for (const ordered_json& parent : tree["nodes"]) {
        runs += parent["calls"].value(id, int64_t{0}) * parent["instance_count"].get<int64_t>();
      }
      EXPECT_EQ(node["instance_count"], runs) << id;
      int64_t instances = 0, workloads = 0;
      for (const ordered_json& instance : node["instances"]) instances += instance["calls"].get<int64_t>();
      for (const ordered_json& workload : node["workloads"]) workloads += workload["count"].get<int64_t>();
      EXPECT_EQ(instances, runs) << id;
      EXPECT_EQ(workloads, runs) << id;
    }
  }
  EXPECT_EQ(TreeJson(TinyGpt())["nodes"]["linear_8x8_nobias_fp32"]["instance_count"], 8);
}

TEST(Tree, AModuleThatRunsTwiceIsOneInstanceWithTwoCalls) {
  Net net("shared.py");
  auto x = net.b.Input("x", {2, 8});
  const auto weight = net.b.Parameter("fc.weight", {8, 8});
  net.b.Module("fc", "Linear");
  for (int i = 0; i < 2; ++i) {
    net.b.Enter("fc", {x});
    const auto h = net.b.Op("aten::linear", {T("input", x), T("weight", weight), None("bias")}, {2, 8});
    net.b.Leave({h});
    x = net.Add(x, h);
  }
  const ordered_json tree = TreeJson(Planned(&net, {x}));
  const ordered_json& linear = tree["nodes"]["linear_8x8_nobias_fp32"];
  EXPECT_EQ(linear["instances"].dump(), R"([{"scope":"fc","calls":2}])");
  EXPECT_EQ(linear["instance_count"], 2);
}

TEST(DataFlow, OfALineGoesFromInputThroughEachChildToOutput) {
  EXPECT_THAT(EdgesOf(TreeJson(Mlp()), "mlp"),
              ElementsAre("mlp/input -> mlp/linear_relu_8x16#0 x [4,8]",
                          "mlp/linear_relu_8x16#0 -> mlp/linear_relu_16x16#0 x [4,16]",
                          "mlp/linear_relu_16x16#0 -> mlp/linear_16x2_fp32#0 x [4,16]",
                          "mlp/linear_16x2_fp32#0 -> mlp/output output [4,2]"));
}

TEST(DataFlow, CallsOfOneChildAreNumberedAndPlumbingPassesOn) {
  EXPECT_THAT(EdgesOf(TreeJson(TinyGpt()), "block"),
              ElementsAre("block/input -> block/layer_norm_8_fp32#0 x [2,4,8]",
                          "block/layer_norm_8_fp32#0 -> block/attention#0 x [2,4,8]",
                          "block/input -> block/layer_norm_8_fp32#1 x [2,4,8]",
                          "block/attention#0 -> block/layer_norm_8_fp32#1 x [2,4,8]",
                          "block/layer_norm_8_fp32#1 -> block/mlp#0 x [2,4,8]",
                          "block/input -> block/output output [2,4,8]",
                          "block/attention#0 -> block/output output [2,4,8]",
                          "block/mlp#0 -> block/output output [2,4,8]"));
}

TEST(DataFlow, EveryEndIsOfItsParentAndEveryCallHasAnInputAndAnOutput) {
  const ordered_json tree = TreeJson(TinyGpt());
  std::set<std::string> sources, targets;
  for (const ordered_json& edge : tree["data_flow"]) {
    EXPECT_EQ(KeysOf(edge), (std::vector<std::string>{"from", "to", "tensor_name", "shape", "dtype"}));
    const auto from = edge["from"].get<std::string>(), to = edge["to"].get<std::string>();
    EXPECT_EQ(from.substr(0, from.find('/')), to.substr(0, to.find('/')));
    EXPECT_THAT(to, Not(testing::EndsWith("/input")));
    EXPECT_THAT(from, Not(testing::EndsWith("/output")));
    sources.insert(from);
    targets.insert(to);
  }
  for (const auto& [id, node] : tree["nodes"].items()) {
    for (const auto& [child, calls] : node["calls"].items()) {
      for (int k = 0; k < calls.get<int>(); ++k) {
        const std::string end = id + "/" + child + "#" + std::to_string(k);
        EXPECT_THAT(sources, Contains(end));
        EXPECT_THAT(targets, Contains(end));
      }
      EXPECT_THAT(sources, Not(Contains(id + "/" + child + "#" + std::to_string(calls.get<int>()))));
    }
    if (node["children"].empty()) continue;
    EXPECT_THAT(sources, Contains(id + "/input"));
    EXPECT_THAT(targets, Contains(id + "/output"));
  }
}

TEST(Tree, ALoneKernelIsOneNodeWithoutFlow) {
  Net net("19_ReLU.py");
  const ordered_json tree = TreeJson(Planned(&net, {net.Relu(net.b.Input("x", {2, 8}))}));
  EXPECT_EQ(tree["metadata"]["source_level"], "kernel");
  EXPECT_EQ(tree["metadata"]["total_components"], 1);
  EXPECT_TRUE(tree["data_flow"].empty());
  EXPECT_EQ(tree["nodes"]["relu_fp32"]["path"], "level_0_kernel/relu_fp32.py");
  EXPECT_EQ(tree["nodes"]["relu_fp32"]["instance_count"], 1);
}

}  // namespace
}  // namespace strata::emit
