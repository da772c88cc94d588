#include "limbeck/graph/capture/pair/align.h"

#include <gtest/gtest.h>

#include <random>

namespace limbeck::capture {
namespace {

using Pairs = std::vector<std::pair<std::size_t, std::size_t>>;
using Keys = std::vector<uint32_t>;

/// Length by the plain table.
std::size_t lcs_length(const Keys& a, const Keys& b) {
  std::vector<std::vector<std::size_t>> table(a.size() + 1, std::vector<std::size_t>(b.size() + 1, 0));
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j)
      table[i][j] = a[i - 1] == b[j - 1] ? table[i - 1][j - 1] + 1 : std::max(table[i - 1][j], table[i][j - 1]);
  }
  return table[a.size()][b.size()];
}

TEST(Align, FindsInsertions) {
  EXPECT_EQ(longest_common_subsequence(Keys{1, 2, 3, 4}, Keys{1, 9, 2, 3, 8, 4}),
            (Pairs{{0, 0}, {1, 2}, {2, 3}, {3, 5}}));
}

TEST(Align, TakesEmptyAndEqualSequences) {
  EXPECT_TRUE(longest_common_subsequence(Keys{}, Keys{1}).empty());
  EXPECT_EQ(longest_common_subsequence(Keys{5, 5}, Keys{5, 5}).size(), 2U);
  EXPECT_TRUE(longest_common_subsequence(Keys{1, 2}, Keys{3, 4}).empty());
}

TEST(Align, IsLongestAndAscendingOnRandomSequences) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    Keys a(random() % 20), b(random() % 20);
    for (uint32_t& key : a) key = random() % 4;
    for (uint32_t& key : b) key = random() % 4;
    const Pairs pairs = longest_common_subsequence(a, b);
    EXPECT_EQ(pairs.size(), lcs_length(a, b));
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      EXPECT_EQ(a[pairs[i].first], b[pairs[i].second]);
      if (i == 0) continue;
      EXPECT_TRUE(pairs[i - 1].first < pairs[i].first && pairs[i - 1].second < pairs[i].second);
    }
  }
}

}  // namespace
}  // namespace limbeck::capture
