#include "limbeck/data/dataset.h"

#include "limbeck/core/error.h"
#include "limbeck/data/fingerprint.h"
#include "limbeck/data/memory_dataset.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

namespace limbeck::data {
namespace {

// Ten images [1, 2, 2] whose pixels are all the sample's number, with label number % 3.
std::shared_ptr<const Dataset> numbered(std::int64_t size = 10) {
  const at::Tensor number = at::arange(size, at::kLong);
  return memory_dataset("numbered", number.to(at::kByte).view({size, 1, 1, 1}).expand({size, 1, 2, 2}),
                        number.remainder(3), numbered_class_names(3));
}

std::int64_t shown(const Dataset& dataset, std::int64_t index) {
  return dataset.sample(index).image[0][0][0].item<std::int64_t>();
}

TEST(MemoryDataset, ServesSamplesAndPixels) {
  const auto dataset = numbered();
  EXPECT_EQ(dataset->size(), 10);
  EXPECT_EQ(dataset->shape(), (ImageShape{1, 2, 2}));
  EXPECT_EQ(dataset->num_classes(), 3);
  EXPECT_EQ(shown(*dataset, 7), 7);
  EXPECT_EQ(dataset->sample(7).label, 1);
  const auto view = dataset->pixels();
  ASSERT_TRUE(view);
  EXPECT_EQ(view->pixels[7 * 4], 7);
  EXPECT_EQ(view->labels[7], 1);
  EXPECT_THROW(dataset->sample(10), InvalidArgument);
  EXPECT_THROW(dataset->sample(-1), InvalidArgument);
}

TEST(MemoryDataset, TakesFloatImagesWithoutBytePixels) {
  const auto dataset = memory_dataset("float", at::ones({2, 3, 4, 5}), at::zeros({2}, at::kLong), {"one"});
  EXPECT_EQ(dataset->sample(1).image.scalar_type(), at::kFloat);
  EXPECT_FALSE(dataset->pixels());
}

TEST(MemoryDataset, RefusesWrongTensors) {
  const at::Tensor images = at::zeros({2, 1, 2, 2}, at::kByte), labels = at::zeros({2}, at::kLong);
  EXPECT_THROW(memory_dataset("x", images.to(at::kInt), labels, {"a"}), InvalidArgument);
  EXPECT_THROW(memory_dataset("x", images[0], labels, {"a"}), InvalidArgument);
  EXPECT_THROW(memory_dataset("x", images, labels.to(at::kInt), {"a"}), InvalidArgument);
  EXPECT_THROW(memory_dataset("x", images, at::zeros({3}, at::kLong), {"a"}), InvalidArgument);
  EXPECT_THROW(memory_dataset("x", images, at::ones({2}, at::kLong), {"a"}), InvalidArgument);
  EXPECT_THROW(memory_dataset("x", images, -at::ones({2}, at::kLong), {"a"}), InvalidArgument);
}

TEST(Subset, MapsSamplesAndPixelsAlsoWhenNested) {
  const auto outer = subset(numbered(), {9, 4, 4, 0}, "outer");
  const auto inner = subset(outer, {3, 1}, "inner");
  EXPECT_EQ(inner->size(), 2);
  EXPECT_EQ(inner->name(), "inner");
  EXPECT_EQ(shown(*inner, 0), 0);
  EXPECT_EQ(shown(*inner, 1), 4);
  const auto view = inner->pixels();
  ASSERT_TRUE(view);
  EXPECT_EQ(view->pixels[view->row(1) * 4], 4);
  EXPECT_THROW(inner->sample(2), InvalidArgument);
  EXPECT_THROW(subset(outer, {4}, "beyond"), InvalidArgument);
}

TEST(Take, GivesTheFirstSamples) {
  const auto few = take(numbered(), 3);
  EXPECT_EQ(few->size(), 3);
  EXPECT_EQ(few->name(), "numbered[:3]");
  EXPECT_EQ(shown(*few, 2), 2);
  EXPECT_EQ(take(numbered(), 0)->size(), 0);
  EXPECT_THROW(take(numbered(), 11), InvalidArgument);
}

TEST(Spread, TakesSamplesAtEqualDistances) {
  const auto some = spread(numbered(), 4);
  ASSERT_EQ(some->size(), 4);
  for (const auto& [i, expected] : {std::pair{0, 0}, {1, 2}, {2, 5}, {3, 7}}) EXPECT_EQ(shown(*some, i), expected);
  EXPECT_EQ(spread(numbered(), 10)->size(), 10);
  EXPECT_EQ(spread(numbered(), 99)->size(), 10);
  EXPECT_THROW(spread(numbered(), 0), InvalidArgument);
}

// A user's dataset of images whose sizes vary.
class Growing final : public Dataset {
 public:
  std::string name() const override { return "growing"; }
  std::int64_t size() const override { return 3; }
  ImageShape shape() const override { return {1, ImageShape::kVaries, ImageShape::kVaries}; }
  const std::vector<std::string>& class_names() const override { return names_; }
  Sample sample(std::int64_t index) const override { return {at::zeros({1, index + 1, index + 2}, at::kByte), index}; }

 private:
  std::vector<std::string> names_{"a", "b", "c"};
};

TEST(Dataset, NeedsNoMoreOfAUserThanItsSamples) {
  const Growing dataset;
  EXPECT_EQ(dataset.label(2), 2);
  EXPECT_FALSE(dataset.encoded(0));
  EXPECT_FALSE(dataset.pixels());
  EXPECT_EQ(dataset.identity(), "growing");
  EXPECT_EQ(fingerprint(dataset).size(), 64U);
  EXPECT_EQ(to_string(dataset.shape()), "[1, H, W]");
}

TEST(HoldOut, CutsInTwoTheSameWayEveryTime) {
  const auto whole = numbered(200);
  const HeldOut cut = hold_out(whole, 40), again = hold_out(whole, 40);
  ASSERT_EQ(cut.val->size(), 40);
  ASSERT_EQ(cut.train->size(), 160);
  std::set<std::int64_t> seen;
  for (std::int64_t i = 0; i < 40; ++i) {
    EXPECT_EQ(shown(*cut.val, i), shown(*again.val, i));
    seen.insert(shown(*cut.val, i));
  }
  EXPECT_LT(*seen.begin(), 40) << "drawn from the whole of the file";
  EXPECT_GT(*seen.rbegin(), 160);
  for (std::int64_t i = 0; i < 160; ++i) seen.insert(shown(*cut.train, i));
  EXPECT_EQ(seen.size(), 200U) << "no sample in both";
  EXPECT_THROW(hold_out(whole, 0), InvalidArgument);
  EXPECT_THROW(hold_out(whole, 200), InvalidArgument);
}

TEST(Fingerprint, IsOfTheContentInItsOrder) {
  const std::string hash = fingerprint(*numbered());
  EXPECT_EQ(hash.size(), 64U);
  EXPECT_EQ(hash, fingerprint(*subset(numbered(), {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, "another name")));
  EXPECT_NE(hash, fingerprint(*numbered(11)));
  EXPECT_NE(hash, fingerprint(*take(numbered(), 9)));
  EXPECT_NE(hash, fingerprint(*subset(numbered(), {1, 0, 2, 3, 4, 5, 6, 7, 8, 9}, "numbered")));
}

}  // namespace
}  // namespace limbeck::data
