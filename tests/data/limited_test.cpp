#include "limbeck/data/limited.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "limbeck/core/error.h"
#include "limbeck/data/memory_dataset.h"

namespace limbeck::data {
namespace {

/// Whose image i has the value i, and the given labels in three classes.
std::shared_ptr<const Dataset> numbered(const std::vector<std::int64_t>& labels) {
  const auto size = static_cast<std::int64_t>(labels.size());
  return memory_dataset("numbered", at::arange(size).to(at::kByte).reshape({size, 1, 1, 1}),
                        at::tensor(labels, at::kLong), {"a", "b", "c"});
}

std::vector<std::int64_t> images_of(const Dataset& dataset) {
  std::vector<std::int64_t> images;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    images.push_back(dataset.pixels()->pixels[dataset.pixels()->row(i)]);
  }
  return images;
}

std::vector<std::int64_t> counts_of(const Dataset& dataset) {
  std::vector<std::int64_t> counts(3);
  for (std::int64_t i = 0; i < dataset.size(); ++i) ++counts[static_cast<std::size_t>(dataset.label(i))];
  return counts;
}

TEST(Limited, TakesTheFirstWhereTheyShowEveryClass) {
  const auto few = limited(numbered({0, 1, 2, 0, 1, 2, 0, 1}), 4);
  EXPECT_EQ(images_of(*few), (std::vector<std::int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(few->name(), "numbered[:4]");
}

TEST(Limited, GivesEachClassItsShareWhereTheWholeIsSorted) {
  std::vector<std::int64_t> labels(60, 0);
  labels.resize(90, 1);
  labels.resize(120, 2);
  const auto few = limited(numbered(labels), 20);
  EXPECT_EQ(counts_of(*few), (std::vector<std::int64_t>{10, 5, 5}));
  EXPECT_EQ(few->name(), "numbered[20 of 120]");
  EXPECT_EQ(images_of(*few), images_of(*limited(numbered(labels), 20))) << "the same in every run";
  std::vector<std::int64_t> steps = images_of(*few);
  for (std::size_t i = steps.size() - 1; i > 0; --i) steps[i] -= steps[i - 1];
  EXPECT_NE(std::count(steps.begin() + 1, steps.end(), steps[1]), 19) << "drawn, not at equal distances";
}

TEST(Limited, TakesNoneOneAndAll) {
  const std::vector<std::int64_t> sorted{0, 0, 1, 1, 2, 2};
  EXPECT_EQ(limited(numbered(sorted), 0)->size(), 0);
  EXPECT_EQ(limited(numbered(sorted), 1)->size(), 1);
  EXPECT_EQ(counts_of(*limited(numbered(sorted), 3)), (std::vector<std::int64_t>{1, 1, 1}));
  EXPECT_EQ(limited(numbered(sorted), 6)->name(), "numbered");
  EXPECT_THROW(limited(numbered(sorted), 7), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::data
