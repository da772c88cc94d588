#include "limbeck/data/transforms/mix.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/data/loader.h"
#include "limbeck/data/memory_dataset.h"

namespace limbeck::data {
namespace {

at::Tensor images_of(std::int64_t batch, at::MemoryFormat format) {
  return at::arange(batch * 3 * 5 * 6, at::kFloat).mul(0.37F).sin().view({batch, 3, 5, 6}).contiguous(format);
}

TEST(Mix, BlendsEachImageWithTheOneBefore) {
  for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    for (const std::int64_t batch : {1, 2, 7}) {
      const at::Tensor images = images_of(batch, format);
      at::Tensor mixed = images.clone();
      mix({.lambda = 0.3, .box = std::nullopt}, mixed);
      EXPECT_TRUE(at::equal(mixed, images.roll(1, 0).mul_(1 - 0.3).add_(images.mul(0.3))));
      EXPECT_EQ(mixed.strides(), images.strides());
    }
  }
}

TEST(Mix, PastesTheBoxOfTheImageBefore) {
  for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    const at::Tensor images = images_of(4, format);
    at::Tensor mixed = images.clone(), expected = images.clone();
    mix({.lambda = 0.8, .box = Box{.top = 1, .left = 2, .height = 3, .width = 2}}, mixed);
    expected.narrow(2, 1, 3).narrow(3, 2, 2).copy_(images.roll(1, 0).narrow(2, 1, 3).narrow(3, 2, 2));
    EXPECT_TRUE(at::equal(mixed, expected));
    mix({.lambda = 1, .box = Box{}}, mixed);
    EXPECT_TRUE(at::equal(mixed, expected)) << "an empty box changes nothing";
  }
}

TEST(Mix, SharesOutTheLabels) {
  const at::Tensor labels = at::tensor({2, 0, 0}, at::kLong);
  const at::Tensor targets = mixed_targets(labels, 3, 0.25);
  EXPECT_TRUE(at::allclose(targets[0], at::tensor({0.75F, 0.0F, 0.25F})));
  EXPECT_TRUE(at::allclose(targets[1], at::tensor({0.25F, 0.0F, 0.75F})));
  EXPECT_TRUE(at::allclose(targets[2], at::tensor({1.0F, 0.0F, 0.0F}))) << "equal neighbours keep their label";
  EXPECT_THROW(mixed_targets(at::tensor({3}, at::kLong), 3, 0.5), InvalidArgument);
}

std::shared_ptr<const Dataset> dataset() {
  const at::Tensor images = at::arange(10 * 16, at::kLong).remainder(251).to(at::kByte).view({10, 1, 4, 4});
  return memory_dataset("x", images, at::arange(10, at::kLong).remainder(3), {"a", "b", "c"});
}

TEST(Loader, MixesBatchesTheSameForAnyNumberOfWorkers) {
  LoaderOptions options{.batch_size = 4, .shuffle = true, .seed = 5};
  options.batch_transforms = {MixUp{0.4}, CutMix{}};
  LoaderOptions with_workers = options;
  with_workers.num_workers = 3;
  Loader one(dataset(), options), other(dataset(), with_workers);
  int batches = 0, hard = 0;
  for (const Batch& batch : one.epochs(6)) {
    auto same = other.next();
    if (!same) same = other.next();
    ASSERT_TRUE(at::equal(batch.x, same->x));
    ASSERT_TRUE(at::equal(batch.targets, same->targets));
    EXPECT_TRUE(at::allclose(batch.targets.sum(1), at::ones({batch.size()})));
    EXPECT_TRUE(at::equal(batch.y, batch.index.remainder(3))) << "labels stay what they are";
    hard += batch.targets.max().item<float>() == 1;
    ++batches;
  }
  EXPECT_EQ(batches, 18);
  EXPECT_LT(hard, batches);
  Loader plain(dataset(), {.batch_size = 4});
  EXPECT_FALSE(plain.next()->targets.defined());
}

}  // namespace
}  // namespace limbeck::data
