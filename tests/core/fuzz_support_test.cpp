// Tests of the fuzz support itself: a fuzz test that can't fail proves nothing.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "limbeck/core/error.h"
#include "tests/support/allocation_guard.h"
#include "tests/support/mutation.h"

namespace limbeck::testing {
namespace {

TEST(Mutate, IsDeterministicAndVaried) {
  const std::string original = "header 12 [1, 2, 3] payload";
  std::set<std::string> seen;
  int unchanged = 0;
  for (std::uint64_t i = 0; i < 500; ++i) {
    const std::string mutated = mutate(original, 7, i);
    EXPECT_EQ(mutate(original, 7, i), mutated);
    unchanged += mutated == original;
    seen.insert(mutated);
  }
  EXPECT_GT(seen.size(), 350u);
  EXPECT_LT(unchanged, 50);
  EXPECT_NE(mutate(original, 7, 1), mutate(original, 8, 1));
}

TEST(Mutate, TakesTinyInputsAndKeepsItsBound) {
  for (std::uint64_t i = 0; i < 2000; ++i) {
    EXPECT_LE(mutate("", 1, i).size(), 200u);
    mutate("x", 1, i);
    EXPECT_LE(mutate(std::string(100'000, 'x'), 1, i).size(), 100'000u + 65'536);
  }
}

TEST(AllocationGuard, RefusesAllocationsBeyondItsLimit) {
  const AllocationGuard outer(1 << 20);
  {
    const AllocationGuard guard(1000);
    EXPECT_NO_THROW(std::vector<char>(1000));
    EXPECT_FALSE(guard.is_exceeded());
    EXPECT_EQ(guard.largest_bytes(), 1000u);
    EXPECT_THROW(std::vector<char>(1001), std::bad_alloc);
    EXPECT_TRUE(guard.is_exceeded());
  }
  EXPECT_NO_THROW(std::vector<char>(100'000));
  EXPECT_FALSE(outer.is_exceeded());
  struct alignas(64) Line {
    char bytes[64];
  };
  EXPECT_NO_THROW(std::make_unique<Line>());
  EXPECT_THROW(std::vector<Line>(1 << 20), std::bad_alloc);
  EXPECT_EQ(new (std::nothrow) char[2 << 20], nullptr);
}

TEST(FuzzReader, CountsAndReports) {
  const auto half = [](const std::string& input) {
    if (input.size() % 2 == 0) fail<IoError>("refused");
  };
  const FuzzCounts counts = fuzz_reader("some input", half, {.iterations = 100});
  EXPECT_EQ(counts.accepted + counts.refused, 100);
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);

  EXPECT_NONFATAL_FAILURE(
      fuzz_reader("x", [](const std::string&) { throw std::out_of_range("oops"); }, {.iterations = 5}),
      "iteration 0: not a limbeck::Error: oops");
  const auto greedy = [](const std::string&) { std::vector<char> memory(2'000'000); };
  EXPECT_NONFATAL_FAILURE(fuzz_reader("x", greedy, {.iterations = 5, .max_allocation_bytes = 1'000'000}),
                          "an allocation of 2000000 bytes, the limit is 1000000");
  const auto hides = [](const std::string&) {
    try {
      std::vector<char> memory(2'000'000);
    } catch (const std::bad_alloc&) {
      fail<IoError>("too large");
    }
  };
  EXPECT_NONFATAL_FAILURE(fuzz_reader("x", hides, {.iterations = 5, .max_allocation_bytes = 1'000'000}),
                          "an allocation of 2000000 bytes");
}

}  // namespace
}  // namespace limbeck::testing
