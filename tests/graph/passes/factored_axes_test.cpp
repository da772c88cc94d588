#include "limbeck/graph/passes/factored_axes.h"

#include <gtest/gtest.h>

namespace limbeck::passes {
namespace {

using Sizes = std::vector<int64_t>;

FactoredAxis batch(int64_t outer = 1, int64_t inner = 1) { return {.outer = outer, .has_batch = true, .inner = inner}; }
FactoredAxis plain(int64_t size) { return {.inner = size}; }

TEST(FactoredAxes, SplitsAndJoinsBehindTheBatch) {
  EXPECT_EQ(reshaped({batch(), plain(6)}, Sizes{5, 2, 3}, 5).at(0), (FactoredShape{batch(), plain(2), plain(3)}));
  EXPECT_EQ(reshaped({batch(), plain(4), plain(6)}, Sizes{20, 6}, 5).at(0), (FactoredShape{batch(1, 4), plain(6)}));
  EXPECT_EQ(reshaped({batch(1, 4), plain(6)}, Sizes{5, 4, 6}, 5).at(0), (FactoredShape{batch(), plain(4), plain(6)}));
}

TEST(FactoredAxes, KeepsTheBatchBehindAnOuterFactor) {
  const auto joined = reshaped({plain(16), batch(), plain(48)}, Sizes{80, 48}, 5);
  ASSERT_EQ(joined.size(), 1U);
  EXPECT_EQ(joined[0], (FactoredShape{batch(16), plain(48)}));
  EXPECT_EQ(reshaped(joined[0], Sizes{16, 5, 48}, 5).at(0), (FactoredShape{plain(16), batch(), plain(48)}));
}

TEST(FactoredAxes, PrefersAnAxisOfTheBatchAloneAtBatchOne) {
  EXPECT_EQ(reshaped({batch(), plain(6)}, Sizes{1, 6}, 1).at(0), (FactoredShape{batch(), plain(6)}));
  const auto both = reshaped({plain(16), batch(), plain(48)}, Sizes{16, 48}, 1);
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0], (FactoredShape{plain(16), batch(1, 48)}));
  EXPECT_EQ(both[1], (FactoredShape{batch(16), plain(48)}));
}

TEST(FactoredAxes, RefusesToTearTheBatchApart) {
  EXPECT_TRUE(reshaped({batch(), plain(2)}, Sizes{2, 3, 2}, 6).empty());
  EXPECT_TRUE(reshaped({plain(3), batch()}, Sizes{5, 3}, 5).empty());
}

TEST(FactoredAxes, LeavesShapesWithoutBatchAlone) {
  EXPECT_EQ(reshaped({plain(6)}, Sizes{2, 3}, 1).at(0), (FactoredShape{plain(2), plain(3)}));
  EXPECT_EQ(reshaped({}, Sizes{}, 1).at(0), FactoredShape{});
}

}  // namespace
}  // namespace limbeck::passes
