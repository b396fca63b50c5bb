#include "server/store/artifacts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "server/store/json_view.h"

namespace strata::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
std::string Message(const absl::StatusOr<T>& result) {
  return std::string(result.status().message());
}

TEST(Artifacts, ComplaintNamesFileAndPlace) {
  struct Case {
    const char* text;
    const char* message;
  };
  const Case cases[] = {
      {"", "t.json is no JSON"},
      {"[]", "t.json is no JSON object"},
      {"{\"nodes\": {}", "t.json is no JSON"},
      {"{}", "t.json: has no 'nodes'"},
      {R"({"nodes": []})", "t.json:.nodes is no object"},
      {R"({"nodes": {"a": {"id": "b", "level": "kernel", "path": "x"}}})",
       "t.json:.nodes.a has another id than its key"},
      {R"({"nodes": {"a": {"id": 5, "level": "kernel", "path": "x"}}})", "t.json:.nodes.a.id is no text"},
      {R"({"nodes": {"a": {"id": "a", "level": "stage", "path": "x"}}})", "has level 'stage'"},
      {R"({"nodes": {"a": {"id": "a", "level": "kernel", "path": "../x"}}})", "leads nowhere"},
      {R"({"nodes": {"a": {"id": "a", "level": "kernel", "path": "x", "instance_count": -1}}})",
       "is no whole number"},
      {R"({"nodes": {"a": {"id": "a", "level": "kernel", "path": "x", "instance_count": 1e30}}})",
       "is no whole number"},
      {R"({"nodes": {"a": {"id": "a", "level": "kernel", "path": "x", "instance_count": 18446744073709551615}}})",
       "is no whole number"},
      {R"({"nodes": {"a": {"id": "a", "level": "kernel", "path": "x", "input_shapes": {"x": [1.5]}}}})",
       "no list of whole numbers"},
      {R"({"nodes": {}, "data_flow": {}})", "t.json:.data_flow is no list"},
      {"{\"nodes\": {\"\xff\": 1}}", "t.json is no JSON"},
  };
  for (const Case& c : cases)
    EXPECT_THAT(Message(ParseTree("t.json", c.text)), HasSubstr(c.message)) << c.text;
}

TEST(Artifacts, AVerdictOnAFolderIsOneOfThree) {
  const auto verdict = ParseFolderVerdict("v.json", R"({"verdict": "rejected", "kind": "step", "folder": "f",
    "violations": [{"rule": "numbers", "file": "refactored.py", "line": 7, "what": "w", "advice": "a"}],
    "notes": ["n"], "not_judged": ["chain"], "error": "e", "environment": {}})");
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  ASSERT_EQ(verdict->violations_size(), 1);
  EXPECT_EQ(verdict->violations(0).line(), 7u);
  EXPECT_THAT(verdict->not_judged(), ElementsAre("chain"));
  EXPECT_EQ(verdict->error(), "e");
  EXPECT_THAT(Message(ParseFolderVerdict("v.json", "{}")), HasSubstr("unknown verdict ''"));
  EXPECT_THAT(Message(ParseFolderVerdict("v.json", R"({"verdict": "PASS"})")), HasSubstr("'PASS'"));
  EXPECT_THAT(
      Message(ParseFolderVerdict("v.json", R"({"verdict": "accepted", "violations": [{"line": -1}]})")),
      HasSubstr("no whole number"));
}

TEST(Artifacts, HostileSizesEndInAnErrorAndInTime) {
  EXPECT_THAT(Message(ParseTree("t.json", "{\"nodes\":" + std::string(1 << 20, '['))),
              HasSubstr("nested deeper"));
  std::string many = "{\"nodes\": {";
  for (int i = 0; i < 200000; ++i) many += "\"k" + std::to_string(i) + "\":0,";
  EXPECT_THAT(Message(ParseTree("t.json", many + "\"k\":0}}")), HasSubstr("more than 20000 members"));
  EXPECT_THAT(Message(ParseTree("t.json", std::string(kMaxJsonBytes + 1, ' '))), HasSubstr("over the limit"));
}

TEST(Artifacts, ShapesKeepTheOrderOfForward) {
  const auto tree = ParseTree("t.json", R"({"nodes": {"k": {"id": "k", "level": "kernel", "path": "k.py",
      "input_shapes": {"z": [1], "a": [], "m": [2, -1]}, "input_dtypes": {"a": "int64", "z": "float32"}}}})");
  ASSERT_TRUE(tree.ok()) << tree.status();
  std::vector<std::string> names;
  for (const auto& tensor : tree->nodes(0).inputs()) names.push_back(tensor.name() + ":" + tensor.dtype());
  EXPECT_THAT(names, ElementsAre("z:float32", "a:int64", "m:"));
}

TEST(Artifacts, ViolationsAreSentences) {
  const auto verdict = ParseVerdict("v.json", R"({"status": "FAIL", "anticheat": {"status": "FAIL"},
    "violations": [
      {"rule": "plumbing", "file": "refactored.py", "line": 31, "what": "relu outside the children", "advice": "move it"},
      {"rule": "weights", "file": "weight_map.json", "line": 0, "what": "no weight goes to 'fc'", "advice": "map it"},
      {"rule": "runs", "file": "", "line": 0, "what": "it raises", "advice": "let it run"}]})");
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_THAT(verdict->violations(),
              ::testing::ElementsAre("plumbing: refactored.py:31: relu outside the children",
                                     "weights: weight_map.json: no weight goes to 'fc'", "runs: it raises"));
}

TEST(Artifacts, VerdictTakesNumbersThatJsonHasNot) {
  const auto verdict =
      ParseVerdict("v.json", R"({"status": "FAIL", "numerical_comparison": {"max_diff_across_trials": null,
      "trials": [{"trial": 0, "seed": 42, "max_diff": "inf", "pass": false}, {"trial": 1, "max_diff": "nan"}]}})");
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_TRUE(std::isnan(verdict->step().max_diff()));
  EXPECT_TRUE(std::isinf(verdict->trials(0).max_diff()));
  EXPECT_TRUE(std::isnan(verdict->trials(1).max_diff()));
  EXPECT_FALSE(
      ParseVerdict("v.json", R"({"status": "PASS", "numerical_comparison": {"max_diff_across_trials": "0"}})")
          .ok());
}

TEST(Artifacts, JobsAreCheckedAsAGraph) {
  EXPECT_THAT(
      Message(ParseJobs(
          "j",
          R"({"root": "a", "components": [{"id": "a", "level": "model", "step": "s", "children": ["b"]}]})")),
      HasSubstr("child 'b' of a is no component"));
  EXPECT_TRUE(
      ParseJobs(
          "j", R"({"root": "a", "components": [{"id": "a", "level": "kernel", "step": "", "children": []}]})")
          .ok());
}

TEST(Artifacts, PathsDecideWhatAFileSays) {
  Findings findings;
  EXPECT_TRUE(
      ReadArtifact("steps/step_1_a/verification_result.json", R"({"status": "PASS"})", findings).ok());
  EXPECT_EQ(findings.verdicts.at(0).step().name(), "step_1_a");
  EXPECT_TRUE(
      ReadArtifact("steps/step_1_a/coverage_report.json", R"({"status": "FULL_COVERAGE"})", findings).ok());
  EXPECT_EQ(findings.coverages.at(0).step(), "step_1_a");
  EXPECT_TRUE(ReadArtifact("steps/a/b/verification_result.json", "not looked at", findings).ok());
  EXPECT_TRUE(ReadArtifact("level_0_kernel/x.py", "not looked at", findings).ok());
  EXPECT_FALSE(ReadArtifact(".strata/log/x.json", "looked at", findings).ok());
  EXPECT_EQ(findings.verdicts.size(), 1u);
}

TEST(IsSafePath, RefusesWhatLeadsOut) {
  for (const char* ok : {"a", "a/b.py", ".strata/jobs.json", "a..b/c", "modèle/x.py"})
    EXPECT_TRUE(IsSafePath(ok)) << ok;
  for (const char* bad : {"", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\\b", "a\nb",
                          "a\x7f", "\xff", "\xc3/\xa9"}) {
    EXPECT_FALSE(IsSafePath(bad)) << bad;
  }
  EXPECT_FALSE(IsSafePath(std::string(501, 'a')));
}

}  // namespace
}  // namespace strata::store
