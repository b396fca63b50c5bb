#include "worker/engine/capture/domain.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace strata::capture {
namespace {

TEST(Domain, BoundsSkipNanAndInfinities) {
  const std::vector<double> v = {-2.5, INFINITY, NAN, 4.0, -INFINITY};
  const program::Domain d = Summarise(v, 5);
  EXPECT_TRUE(d.known && d.has_nan && d.has_pos_inf && d.has_neg_inf);
  EXPECT_EQ(d.min, -2.5);
  EXPECT_EQ(d.max, 4.0);
  EXPECT_FALSE(d.is_integral || d.is_binary || d.is_arange);
}

TEST(Domain, RowsThatCountUpAreAnArange) {
  const std::vector<double> v = {0, 1, 2, 0, 1, 2};
  EXPECT_TRUE(Summarise(v, 3).is_arange);
  EXPECT_TRUE(Summarise(v, 3).is_permutation);
  EXPECT_FALSE(Summarise(v, 6).is_arange);
  EXPECT_FALSE(Summarise(v, 6).is_permutation);
}

TEST(Domain, RowsThatHoldEachNumberOnceArePermutations) {
  EXPECT_TRUE(Summarise(std::vector<double>{2, 0, 1, 0, 1, 2}, 3).is_permutation);
  EXPECT_FALSE(Summarise(std::vector<double>{2, 0, 1, 0, 1, 1}, 3).is_permutation);
  EXPECT_FALSE(Summarise(std::vector<double>{0, 3}, 2).is_permutation);
}

TEST(Domain, MasksAreBinaryAndEmptyTensorsUnknown) {
  EXPECT_TRUE(Summarise(std::vector<double>{0, 1, 1}, 3).is_binary);
  EXPECT_FALSE(Summarise(std::vector<double>{0, 1, -INFINITY}, 3).is_binary);
  EXPECT_FALSE(Summarise(std::vector<double>{}, 0).known);
}

}  // namespace
}  // namespace strata::capture
