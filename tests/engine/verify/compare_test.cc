// Tensor files written here, compared as the judge does.
#include "worker/engine/verify/compare.h"

#include <gtest/gtest.h>

#include <limits>

#include "ATen/ATen.h"
#include "base/files.h"
#include "worker/engine/host/tensor_file.h"

namespace strata::verify {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

class CompareTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<TempDir> dir = TempDir::Create("compare_");
    ASSERT_TRUE(dir.ok());
    dir_ = std::make_unique<TempDir>(*std::move(dir));
  }

  // A file with one tree "output" of the given tensors.
  std::string Write(const std::vector<at::Tensor>& tensors, const char* kind = "tuple",
                    const char* tree = "output", json extra = json::array()) {
    host::TensorFile file;
    json items = json::array();
    for (size_t i = 0; i < tensors.size(); ++i) {
      file.tensors.emplace_back("t" + std::to_string(i), tensors[i]);
      items.push_back({{"kind", "tensor"}, {"index", i}});
    }
    file.trees[tree] = {{"kind", kind}, {"items", items}, {"extra", extra}};
    if (std::string(tree) == "args")
      file.trees["kwargs"] = {
          {"kind", "dict"}, {"class", "dict"}, {"keys", json::array()}, {"items", json::array()}};
    const std::string path = dir_->path() + "/" + std::to_string(count_++) + ".bin";
    EXPECT_TRUE(host::WriteTensorFile(path, file).ok());
    return path;
  }

  ordered_json Compare(const std::string& a, const std::string& b, bool allow_inf = true) {
    absl::StatusOr<ordered_json> json =
        CompareTrials({{{.original_outputs = a, .refactored_outputs = b}}, {{1e-5, 1e-6}}, allow_inf});
    EXPECT_TRUE(json.ok()) << json.status();
    return json.ok() ? *json : ordered_json();
  }

  ordered_json Compare(const at::Tensor& a, const at::Tensor& b, bool allow_inf = true) {
    return Compare(Write({a}), Write({b}), allow_inf);
  }

 private:
  std::unique_ptr<TempDir> dir_;
  int count_ = 0;
};

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST_F(CompareTest, EqualBitsPassWithDifferenceZero) {
  const at::Tensor x = at::randn({3, 5});
  const auto json = Compare(x, x.clone());
  EXPECT_EQ(json["status"], "PASS");
  EXPECT_EQ(json["bit_exact"], true);
  EXPECT_EQ(json["max_diff_across_trials"], 0.0);
  EXPECT_EQ(json["trials"][0]["output_details"][0]["dtype"], "torch.float32");
  EXPECT_EQ(json["trials"][0]["output_details"][0]["shape"], ordered_json({3, 5}));
}

TEST_F(CompareTest, ASmallDifferencePassesAndIsNotBitExact) {
  const at::Tensor x = at::tensor({1.0f, -2.0f, 3.0f, 0.5f});
  const auto json = Compare(x, x + 1e-6f);
  EXPECT_EQ(json["status"], "PASS");
  EXPECT_GT(json["trials"][0]["output_details"][0]["max_ulp"], 0);
  EXPECT_EQ(json["bit_exact"], false);
  EXPECT_NEAR(json["max_diff_across_trials"].get<double>(), 1e-6, 5e-7);
}

TEST_F(CompareTest, WhatZerosAConstantOrAnInputWouldPassForIsHeldToMore) {
  const at::Tensor tiny = at::tensor({1e-7f, -2e-7f, 3e-7f});
  EXPECT_EQ(Compare(tiny, at::zeros({3}))["status"], "FAIL") << "atol 1e-6 alone would let zeros pass";
  EXPECT_EQ(Compare(tiny, tiny * 1.0001f)["status"], "PASS");
  const at::Tensor flat = at::full({3}, 2.0f);
  EXPECT_EQ(Compare(flat, flat.clone())["status"], "PASS");
  EXPECT_EQ(Compare(flat, flat + 1e-6f)["status"], "FAIL") << "only equal bits pass for a constant";
}

TEST_F(CompareTest, WhatAMaskLeavesDoesNotLoosenTheRest) {
  const at::Tensor large = at::tensor({300.0f, -200.0f, 0.01f, 400.0f});
  const auto drawn = [&](const at::Tensor& a, const at::Tensor& b) {
    return (*CompareTrials(
        {{{.original_outputs = Write({a}), .refactored_outputs = Write({b}), .scaled_atol = true}},
         {{1e-5, 1e-6}}}))["status"];
  };
  const at::Tensor masked = at::full({4}, -1e9f);
  EXPECT_EQ(drawn(large, large + 1e-3f), "PASS");
  EXPECT_EQ(drawn(at::cat({large, masked}), at::cat({large + 1e-3f, masked})), "PASS");
  EXPECT_EQ(drawn(at::cat({large, masked}), at::cat({large + 1.0f, masked})), "FAIL");
}

TEST_F(CompareTest, ALargeDifferenceFails) {
  const at::Tensor x = at::ones({4});
  const auto json = Compare(x, x + 1e-3f);
  EXPECT_EQ(json["status"], "FAIL");
  EXPECT_EQ(json["trials"][0]["output_details"][0]["matches"], false);
}

TEST_F(CompareTest, NanFailsEvenWhereBothHaveIt) {
  const at::Tensor x = at::tensor({1.0f, kNan});
  const auto json = Compare(x, x.clone());
  EXPECT_EQ(json["status"], "FAIL");
  EXPECT_TRUE(json["max_diff_across_trials"].is_null());
}

TEST_F(CompareTest, TheSameInfPassesInsideAndFailsInASubmittedOutput) {
  const at::Tensor x = at::tensor({1.0f, -kInf});
  EXPECT_EQ(Compare(x, x.clone(), /*allow_inf=*/true)["status"], "PASS");
  EXPECT_EQ(Compare(x, x.clone(), /*allow_inf=*/false)["status"], "FAIL");
}

TEST_F(CompareTest, AnotherInfFails) {
  EXPECT_EQ(Compare(at::tensor({1.0f, -kInf}), at::tensor({1.0f, kInf}))["status"], "FAIL");
  EXPECT_EQ(Compare(at::tensor({1.0f, -kInf}), at::tensor({1.0f, -3e38f}))["status"], "FAIL");
  EXPECT_EQ(Compare(at::tensor({1.0f, 2.0f}), at::tensor({1.0f, kInf}))["status"], "FAIL");
}

TEST_F(CompareTest, WholeNumbersAndTruthValuesHaveNoTolerance) {
  const at::Tensor big = at::full({2}, 100000000, at::kLong);
  EXPECT_EQ(Compare(big, big + 1)["status"], "FAIL");
  EXPECT_EQ(Compare(big, big.clone())["status"], "PASS");
  EXPECT_EQ(Compare(at::ones({2}, at::kBool), at::zeros({2}, at::kBool))["status"], "FAIL");
}

TEST_F(CompareTest, TheImaginaryPartCounts) {
  const at::Tensor a = at::complex(at::ones({2}), at::ones({2})),
                   b = at::complex(at::ones({2}), at::zeros({2}));
  EXPECT_EQ(Compare(a, b)["status"], "FAIL");
  EXPECT_EQ(Compare(a, a.clone())["status"], "PASS");
}

TEST_F(CompareTest, AnotherDtypeOrShapeFails) {
  const at::Tensor x = at::ones({2, 2});
  EXPECT_EQ(Compare(x, x.to(at::kDouble))["status"], "FAIL");
  EXPECT_EQ(Compare(x, x.reshape({4}))["status"], "FAIL");
}

TEST_F(CompareTest, AnotherStructureFails) {
  const at::Tensor x = at::ones({2});
  EXPECT_EQ(Compare(Write({x}, "tuple"), Write({x}, "list"))["status"], "FAIL");
  EXPECT_EQ(Compare(Write({x, x}), Write({x}))["status"], "FAIL");
}

TEST_F(CompareTest, WhatAnOutputCarriesBesidesIsRefusedOrCannotBeJudged) {
  const at::Tensor x = at::randn({3});
  const std::string plain = Write({x}), carrying = Write({x}, "tuple", "output", {"loss", "scale"});
  const auto theirs = Compare(plain, carrying)["trials"][0]["output_details"][0];
  EXPECT_EQ(theirs["matches"], false);
  EXPECT_EQ(theirs["reason"], "output carries loss, scale, and the original's does not");
  EXPECT_FALSE(theirs.contains("unjudged"));
  const auto ours = Compare(carrying, carrying)["trials"][0]["output_details"][0];
  EXPECT_EQ(ours["reason"], "output carries loss, scale, which cannot be compared");
  EXPECT_EQ(ours["unjudged"], true);
}

TEST_F(CompareTest, AnEmptyTensorEqualsItself) {
  EXPECT_EQ(Compare(at::ones({0, 3}), at::ones({0, 3}))["status"], "PASS");
}

TEST_F(CompareTest, StridesDoNotMatter) {
  const at::Tensor x = at::randn({3, 5});
  const auto json = Compare(x, x.t().contiguous().t());
  EXPECT_EQ(json["status"], "PASS");
  EXPECT_EQ(json["bit_exact"], true);
}

TEST_F(CompareTest, AnInputChangedInAnotherWayFails) {
  const at::Tensor x = at::ones({2}), changed = at::zeros({2});
  const std::string out = Write({x});
  const auto run = [&](const at::Tensor& other) {
    return CompareTrials({{{.original_outputs = out,
                            .refactored_outputs = out,
                            .original_after = Write({x}, "tuple", "args"),
                            .refactored_after = Write({other}, "tuple", "args")}},
                          {{1e-5, 1e-6}}});
  };
  EXPECT_EQ((*run(x))["status"], "PASS");
  const auto json = *run(changed);
  EXPECT_EQ(json["status"], "FAIL");
  EXPECT_TRUE(json["trials"][0].contains("inputs_after"));
}

TEST_F(CompareTest, AFileThatIsNoTensorFileIsAnError) {
  const std::string path = Write({at::ones({2})});
  ASSERT_TRUE(WriteFile(path, "STRATAT1 and nothing else").ok());
  EXPECT_FALSE(CompareTrials({{{.original_outputs = path, .refactored_outputs = path}}, {}}).ok());
}

TEST_F(CompareTest, CheckFiniteNamesTheOutput) {
  EXPECT_EQ(*CheckFinite(Write({at::ones({2})})), "");
  const std::string what = *CheckFinite(Write({at::ones({2}), at::tensor({kNan})}));
  EXPECT_NE(what.find("output 1"), std::string::npos) << what;
  EXPECT_NE(what.find("NaN"), std::string::npos) << what;
}

}  // namespace
}  // namespace strata::verify
