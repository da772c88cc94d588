#include "limbeck/train/loop/monitor.h"

#include <gtest/gtest.h>

#include <limits>

#include "limbeck/core/error.h"

namespace limbeck::train {
namespace {

std::vector<EpochSummary> losses(const std::vector<double>& values) {
  std::vector<EpochSummary> epochs;
  for (const double value : values) epochs.push_back({.epoch = static_cast<int64_t>(epochs.size()), .val_loss = value});
  return epochs;
}

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Monitor, TheFirstOfEquallyGoodEpochsIsTheBest) {
  EXPECT_EQ(best_epoch(losses({3, 1, 2, 1}), Metric::val_loss), 1U);
  EXPECT_EQ(best_epoch(losses({kNan, 4, kNan}), Metric::val_loss), 1U);
  EXPECT_EQ(best_epoch(losses({kNan}), Metric::val_loss), std::nullopt);
  EXPECT_EQ(best_epoch(losses({}), Metric::val_loss), std::nullopt);
  std::vector<EpochSummary> epochs = losses({1, 2, 3});
  epochs[2].val_accuracy = 0.9;
  epochs[1].val_accuracy = 0.5;
  epochs[0].val_accuracy = 0.7;
  EXPECT_EQ(best_epoch(epochs, Metric::val_accuracy), 2U) << "accuracies grow, losses fall";
}

TEST(Monitor, StopsAfterPatienceEpochsWithoutImprovement) {
  const EarlyStopOptions two{.patience = 2};
  EXPECT_FALSE(is_early_stop(losses({3, 2, 2.5}), Metric::val_loss, two));
  EXPECT_TRUE(is_early_stop(losses({3, 2, 2.5, 2}), Metric::val_loss, two));
  EXPECT_FALSE(is_early_stop(losses({3, 2, 2.5, 1.9}), Metric::val_loss, two));
  EXPECT_TRUE(is_early_stop(losses({3, 2, kNan, kNan}), Metric::val_loss, two)) << "NaN is no improvement";
  EXPECT_FALSE(is_early_stop(losses({3, 3, 3, 3}), Metric::val_loss, {.patience = 0})) << "0 is never";
}

TEST(Monitor, ImprovementsOfMinDeltaOrLessDoNotCount) {
  const EarlyStopOptions options{.patience = 2, .min_delta = 0.5};
  EXPECT_TRUE(is_early_stop(losses({3, 2.5, 2.6}), Metric::val_loss, options)) << "2.5 is better by no more than 0.5";
  EXPECT_FALSE(is_early_stop(losses({3, 2.6, 2.2}), Metric::val_loss, options)) << "small steps add up";
}

TEST(Monitor, SaysWhatToDoWithoutHeldOutSamples) {
  try {
    metric_of({.loss = 1}, Metric::val_accuracy);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("val_size"), std::string::npos) << error.what();
  }
  EXPECT_EQ(metric_of({.loss = 1, .train_accuracy = 0.5}, Metric::train_accuracy), 0.5);
  EXPECT_THROW(EarlyStopOptions{.patience = -1}.validate(), InvalidArgument);
  EXPECT_THROW(EarlyStopOptions{.min_delta = -1}.validate(), InvalidArgument);
  EXPECT_THROW(parse_metric("acc"), InvalidArgument);
  for (const Metric metric : {Metric::loss, Metric::train_accuracy, Metric::val_loss, Metric::val_accuracy})
    EXPECT_EQ(parse_metric(metric_name(metric)), metric);
}

}  // namespace
}  // namespace limbeck::train
