#include "limbeck/core/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "limbeck/core/error.h"

namespace limbeck::core {
namespace {

// The known answers that the authors publish with their library Random123 (philox4x32, 10 rounds).
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32_10({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// Checkpoints and cached augmentations depend on these bits: they never change.
TEST(Rng, PutsTheKeyIntoCounterAndKey) {
  Rng rng({.seed = 0x299f31d0a4093822, .epoch = 0x85a308d3, .sample = 0x734413198a2e, .transform = 0x0370});
  rng.seek(std::uint64_t{0x243f6a88} * 4);
  EXPECT_EQ(rng.next_u32(), 0xd16cfe09u);
  EXPECT_EQ(rng.next_u32(), 0x94fdccebu);
  EXPECT_EQ(rng.next_u64(), 0x24126ea15001e420u);
}

TEST(Rng, StreamsDifferInEveryPartOfTheKey) {
  const RngKey keys[] = {{},
                         {.seed = 1},
                         {.seed = std::uint64_t{1} << 32},
                         {.epoch = 1},
                         {.sample = 1},
                         {.sample = std::uint64_t{1} << 32},
                         {.transform = 1}};
  std::set<std::uint64_t> firsts;
  for (const RngKey& key : keys) firsts.insert(Rng(key).next_u64());
  EXPECT_EQ(firsts.size(), std::size(keys));
}

TEST(Rng, RefusesKeysOutOfRange) {
  EXPECT_THROW(Rng({.epoch = std::uint64_t{1} << 32}), InvalidArgument);
  EXPECT_THROW(Rng({.sample = std::uint64_t{1} << 48}), InvalidArgument);
  EXPECT_THROW(Rng({.transform = 1u << 16}), InvalidArgument);
}

TEST(Rng, ContinuesFromAPosition) {
  Rng rng({.seed = 5});
  for (int drawn = 0; drawn < 11; ++drawn) {
    Rng other({.seed = 5});
    other.seek(rng.position());
    Rng copy = rng;
    const std::uint32_t expected = rng.next_u32();
    EXPECT_EQ(other.next_u32(), expected);
    EXPECT_EQ(copy.next_u32(), expected);
  }
  EXPECT_EQ(rng.position(), 11u);
}

TEST(Rng, EndsAfterItsWords) {
  Rng rng({});
  rng.seek((std::uint64_t{1} << 34) - 1);
  rng.next_u32();
  EXPECT_THROW(rng.next_u32(), InternalError);
  EXPECT_THROW(rng.seek((std::uint64_t{1} << 34) + 1), InvalidArgument);
}

TEST(Rng, UniformsFillTheUnitInterval) {
  Rng rng({.seed = 1});
  double sum = 0, smallest = 1, largest = 0;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = i % 2 == 0 ? rng.uniform() : static_cast<double>(rng.uniform_float());
    sum += x;
    smallest = std::min(smallest, x);
    largest = std::max(largest, x);
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 4 * std::sqrt(1.0 / 12 / kDraws));  // four standard errors
  EXPECT_GE(smallest, 0);
  EXPECT_LT(largest, 1);
  EXPECT_LT(smallest, 1e-3);
  EXPECT_GT(largest, 1 - 1e-3);
}

TEST(Rng, UniformKeepsItsBounds) {
  Rng rng({.seed = 2});
  const double above_one = std::nextafter(1.0, 2.0);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(rng.uniform(1.0, above_one), 1.0);
  EXPECT_EQ(rng.uniform(3, 3), 3);
  const double wide = rng.uniform(-1.7e308, 1.7e308);
  EXPECT_TRUE(std::isfinite(wide));
  EXPECT_THROW(rng.uniform(1, 0), InvalidArgument);
  EXPECT_THROW(rng.uniform(0, INFINITY), InvalidArgument);
}

TEST(Rng, BelowIsUnbiased) {
  Rng rng({.seed = 3});
  constexpr int kDraws = 30000;
  std::map<std::uint64_t, int> counts;
  for (int i = 0; i < kDraws; ++i) ++counts[rng.below(3)];
  ASSERT_EQ(counts.size(), 3u);
  for (const auto& [value, count] : counts) EXPECT_NEAR(count, kDraws / 3.0, 4 * std::sqrt(kDraws * 2.0 / 9)) << value;

  // A bound of 3/4 of the range: by modulo the lower third would come twice as often as the rest.
  const std::uint64_t bound = std::uint64_t{3} << 62;
  int lower = 0;
  for (int i = 0; i < kDraws; ++i) lower += rng.below(bound) < bound / 3;
  EXPECT_NEAR(lower, kDraws / 3.0, 4 * std::sqrt(kDraws * 2.0 / 9));
  EXPECT_EQ(rng.below(1), 0u);
  EXPECT_THROW(rng.below(0), InvalidArgument);
}

TEST(Rng, BetweenIncludesBothEnds) {
  Rng rng({.seed = 4});
  std::set<std::int64_t> seen;
  for (int i = 0; i < 200; ++i) seen.insert(rng.between(-2, 2));
  EXPECT_EQ(seen, (std::set<std::int64_t>{-2, -1, 0, 1, 2}));
  EXPECT_EQ(rng.between(7, 7), 7);
  bool negative = false, positive = false;
  for (int i = 0; i < 100; ++i) (rng.between(INT64_MIN, INT64_MAX) < 0 ? negative : positive) = true;
  EXPECT_TRUE(negative && positive);
  EXPECT_THROW(rng.between(1, 0), InvalidArgument);
}

TEST(Rng, BernoulliHasItsProbability) {
  Rng rng({.seed = 6});
  int hits = 0;
  for (int i = 0; i < 20000; ++i) hits += rng.bernoulli(0.3);
  EXPECT_NEAR(hits, 6000, 4 * std::sqrt(20000 * 0.21));
  EXPECT_FALSE(rng.bernoulli(0));
  EXPECT_TRUE(rng.bernoulli(1));
}

TEST(Rng, NormalHasItsMoments) {
  Rng rng({.seed = 7});
  constexpr int kDraws = 40000;
  double sum = 0, squares = 0, fourths = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
    fourths += x * x * x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 4 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 1, 4 * std::sqrt(2.0 / kDraws));
  EXPECT_NEAR(fourths / kDraws, 3, 4 * std::sqrt(96.0 / kDraws));
  EXPECT_EQ(rng.position(), 4u * kDraws);
}

TEST(Permutation, HoldsEachNumberOnce) {
  for (const std::int64_t n : {0, 1, 2, 7, 1000}) {
    Rng rng({.seed = 8});
    auto order = permutation(n, rng);
    ASSERT_EQ(order.size(), static_cast<std::size_t>(n));
    std::sort(order.begin(), order.end());
    for (std::int64_t i = 0; i < n; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  }
  Rng rng({});
  EXPECT_THROW(permutation(-1, rng), InvalidArgument);
}

TEST(Permutation, GivesEveryOrderEquallyOften) {
  std::map<std::vector<std::int64_t>, int> counts;
  constexpr int kDraws = 12000;
  for (std::uint64_t epoch = 0; epoch < kDraws; ++epoch) {
    Rng rng({.seed = 9, .epoch = epoch});
    ++counts[permutation(3, rng)];
  }
  ASSERT_EQ(counts.size(), 6u);
  for (const auto& [order, count] : counts) EXPECT_NEAR(count, kDraws / 6.0, 4 * std::sqrt(kDraws * 5.0 / 36));
}

TEST(Permutation, StaysTheSameForEver) {
  Rng rng({.seed = 1, .epoch = 2});
  EXPECT_EQ(permutation(8, rng), (std::vector<std::int64_t>{1, 4, 3, 7, 5, 6, 2, 0}));
}

}  // namespace
}  // namespace limbeck::core
