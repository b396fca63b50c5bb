#include "worker/engine/verify/weight_transfer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace strata::verify {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(MapWrapper, FindsKeysThatLostAPrefixByTheLongestEndThatOneWeightHas) {
  EXPECT_THAT(MapWrapper({{"model.fc.weight", "2"}, {"model.head.fc.weight", "2"}, {"model.fc.bias", "1"}},
                         {{"head.fc.weight", "2"}, {"fc.weight", "2"}, {"fc.bias", "1"}}, {}),
              ElementsAre(Pair("model.fc.bias", ElementsAre("fc.bias")),
                          Pair("model.fc.weight", ElementsAre("fc.weight")),
                          Pair("model.head.fc.weight", ElementsAre("head.fc.weight"))));
}

TEST(MapWrapper, TakesWhatIsGivenFirstThenEqualKeys) {
  EXPECT_THAT(MapWrapper({{"a.w", "2"}, {"b.w", "2"}, {"c.w", "2"}},
                         {{"b.w", "2"}, {"c.w", "2"}, {"x.w", "2"}}, {{"a.w", {"b.w"}}}),
              ElementsAre(Pair("a.w", ElementsAre("b.w")), Pair("b.w", ElementsAre("x.w")),
                          Pair("c.w", ElementsAre("c.w"))));
}

TEST(MapWrapper, LeavesWhatTwoCouldBeOrNoTypeFits) {
  EXPECT_THAT(
      MapWrapper({{"a.w", "2"}, {"b.w", "2"}, {"c.v", "2"}}, {{"x.w", "2"}, {"y.w", "2"}, {"c.v", "3"}}, {}),
      ElementsAre(Pair("a.w", IsEmpty()), Pair("b.w", IsEmpty()), Pair("c.v", IsEmpty())));
}

}  // namespace
}  // namespace strata::verify
