// What the sizes in a class's constructors are called.
#include "worker/engine/emit/dimensions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace strata::emit {
namespace {

using testing::ElementsAre;

Constructor Make(const std::string& callee, const std::vector<std::pair<std::string, int>>& sizes) {
  Constructor out{callee, {}};
  for (const auto& [name, value] : sizes) out.arguments.push_back({name, absl::StrCat(value), true, true});
  return out;
}

Constructor Conv(int in, int out) { return Make("nn.Conv2d", {{"in_channels", in}, {"out_channels", out}}); }
Constructor Linear(int in, int out) {
  return Make("nn.Linear", {{"in_features", in}, {"out_features", out}});
}
Constructor BatchNorm(int size) { return Make("nn.BatchNorm2d", {{"num_features", size}}); }
Constructor LayerNorm(int size) { return Make("nn.LayerNorm", {{"normalized_shape", size}}); }

// The parameters with their defaults, then each constructor.
std::vector<std::string> Named(const std::vector<Constructor>& constructors) {
  std::vector<const Constructor*> pointers;
  for (const Constructor& constructor : constructors) pointers.push_back(&constructor);
  const Dimensions dimensions(pointers);
  std::vector<std::string> out = {""};
  for (const Dimension& d : dimensions.list())
    absl::StrAppend(&out[0], out[0].empty() ? "" : ", ", d.name, "=", d.value);
  for (const Constructor& constructor : constructors) out.push_back(dimensions.Text(constructor));
  return out;
}

TEST(Dimensions, ANormAfterAConvolutionHasWhatTheConvolutionWrites) {
  for (const int out : {64, 128}) {
    EXPECT_THAT(Named({Conv(64, out), BatchNorm(out)}),
                ElementsAre(absl::StrCat("in_channels=64, out_channels=", out),
                            "nn.Conv2d(in_channels, out_channels)", "nn.BatchNorm2d(out_channels)"));
  }
  EXPECT_THAT(Named({Linear(8, 8), LayerNorm(8)}),
              ElementsAre("in_features=8, out_features=8", "nn.Linear(in_features, out_features)",
                          "nn.LayerNorm(out_features)"));
}

TEST(Dimensions, ANormBeforeItHasWhatItReads) {
  for (const int out : {8, 16}) {
    EXPECT_THAT(Named({LayerNorm(8), Linear(8, out)}),
                ElementsAre(absl::StrCat("in_features=8, out_features=", out), "nn.LayerNorm(in_features)",
                            "nn.Linear(in_features, out_features)"));
  }
  EXPECT_THAT(Named({BatchNorm(4), Conv(4, 8), BatchNorm(8)}),
              ElementsAre("in_channels=4, out_channels=8", "nn.BatchNorm2d(in_channels)",
                          "nn.Conv2d(in_channels, out_channels)", "nn.BatchNorm2d(out_channels)"));
}

TEST(Dimensions, ANormAfterAnEmbeddingHasItsWidth) {
  EXPECT_THAT(Named({Make("nn.Embedding", {{"num_embeddings", 8}, {"embedding_dim", 8}}), LayerNorm(8)}),
              ElementsAre("num_embeddings=8, embedding_dim=8", "nn.Embedding(num_embeddings, embedding_dim)",
                          "nn.LayerNorm(embedding_dim)"));
}

TEST(Dimensions, NormsAloneShareANumberAndNothingElse) {
  EXPECT_THAT(Named({BatchNorm(4), LayerNorm(4), BatchNorm(8)}),
              ElementsAre("num_features=4, num_features_2=8", "nn.BatchNorm2d(num_features)",
                          "nn.LayerNorm(num_features)", "nn.BatchNorm2d(num_features_2)"));
}

TEST(Dimensions, ANumberThatEntersAndLeavesSeveralConvolutionsIsTheirChannels) {
  EXPECT_THAT(Named({Conv(64, 64), BatchNorm(64), Conv(64, 64)}),
              ElementsAre("channels=64", "nn.Conv2d(channels, channels)", "nn.BatchNorm2d(channels)",
                          "nn.Conv2d(channels, channels)"));
  EXPECT_THAT(Named({Conv(64, 128), BatchNorm(128), Conv(128, 128)}),
              ElementsAre("in_channels=64, out_channels=128", "nn.Conv2d(in_channels, out_channels)",
                          "nn.BatchNorm2d(out_channels)", "nn.Conv2d(out_channels, out_channels)"));
}

TEST(Dimensions, LoneParametersOfTwoLengthsAreBothParameters) {
  const Constructor own = Make("", {{"dim", 8}, {"dim", 16}});
  const Dimensions dimensions({&own});
  ASSERT_EQ(dimensions.list().size(), 2u);
  EXPECT_EQ(dimensions.Text("dim", "8"), "dim");
  EXPECT_EQ(dimensions.Text("dim", "16"), "dim_2");
}

}  // namespace
}  // namespace strata::emit
