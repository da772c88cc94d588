#include "limbeck/train/loop/accumulation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/data/open_dataset.h"
#include "tests/train/tiny_network.h"

namespace limbeck::train {
namespace {

data::Loader loader_of(int64_t batch_size, bool drop_last) {
  return {data::open_dataset("synthetic:4x1x8x8?n=150"),
          {.batch_size = batch_size, .shuffle = true, .drop_last = drop_last, .seed = 5}};
}

TEST(Accumulation, TheLastGroupIsSmaller) {
  const data::Loader whole = loader_of(8, false), dropping = loader_of(8, true);
  EXPECT_EQ(steps_per_epoch(whole, 4), 5);
  EXPECT_EQ(group_at(whole, 0, 4).samples, 32);
  EXPECT_EQ(group_at(whole, 16, 4).batches, 3);
  EXPECT_EQ(group_at(whole, 16, 4).samples, 22) << "two full batches and one of six";
  EXPECT_EQ(group_at(dropping, 16, 4).samples, 16) << "the batch of six is left out";
  EXPECT_EQ(group_at(whole, 18, 1).samples, 6);
  EXPECT_EQ(group_at(whole, 0, 100).samples, 150);
}

Model trained(int64_t batch_size, int64_t accumulate, OptimizerKind kind) {
  const Model model = testing::plain_network(3);
  data::Loader loader = loader_of(batch_size, false);
  TrainOptions options = testing::options(kind);
  options.accumulate = accumulate;
  const TrainSummary summary = train(model, {}, classification_objective(model, 0.1), loader, options, {});
  EXPECT_EQ(summary.progress.step, 3 * steps_per_epoch(loader, accumulate));
  return model;
}

/// Three epochs with batches of 8 by fours, and with batches of 32: the same samples in each step, the last of 22.
TEST(Accumulation, EqualsTheLargeBatch) {
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
    const Model large = trained(32, 1, kind), accumulated = trained(8, 4, kind), unequal = trained(8, 3, kind);
    double moved = 0;
    for (const NamedTensor& parameter : accumulated.named_parameters()) {
      const at::Tensor& expected = large.graph().parameter(parameter.name).tensor;
      EXPECT_LE((parameter.tensor - expected).abs().max().item<double>(), 1e-6) << parameter.name;
      moved += (unequal.graph().parameter(parameter.name).tensor - expected).abs().max().item<double>();
    }
    EXPECT_GT(moved, 1e-4) << "another grouping is another run";
  }
}

}  // namespace
}  // namespace limbeck::train
