#include "limbeck/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "limbeck/core/error.h"

namespace limbeck::train {
namespace {

TEST(Schedule, ConstantStaysAtOne) {
  const ScheduleOptions options{.kind = ScheduleKind::constant};
  EXPECT_EQ(learning_rate_factor(options, 0, 10, 5), 1);
  EXPECT_EQ(learning_rate_factor(options, 9, 10, 5), 1);
}

TEST(Schedule, WarmupRisesLinearlyToTheFirstFullStep) {
  const ScheduleOptions options{.kind = ScheduleKind::cosine, .warmup_epochs = 0.8};
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 0, 20, 5), 0.25);
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 3, 20, 5), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 4, 20, 5), 1.0);
  EXPECT_LT(learning_rate_factor(options, 5, 20, 5), 1.0);
}

TEST(Schedule, CosineEndsAtItsFinalFractionAndIsHalfwayInTheMiddle) {
  const ScheduleOptions options{.kind = ScheduleKind::cosine, .final_fraction = 0.1};
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 0, 11, 5), 1.0);
  EXPECT_NEAR(learning_rate_factor(options, 5, 11, 5), 0.55, 1e-12);
  EXPECT_NEAR(learning_rate_factor(options, 10, 11, 5), 0.1, 1e-12);
}

// torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1, total_steps=10): the learning rates of its ten steps.
TEST(Schedule, OneCycleEqualsPyTorchs) {
  const double expected[] = {0.040000000000000036,
                             0.52,
                             1.0,
                             0.9504846320134737,
                             0.8117456539497631,
                             0.6112620219362893,
                             0.38874197806371075,
                             0.18825834605023697,
                             0.049519367986526286,
                             4e-06};
  for (int64_t step = 0; step < 10; ++step) {
    EXPECT_NEAR(learning_rate_factor({.kind = ScheduleKind::one_cycle}, step, 10, 5), expected[step], 1e-12) << step;
  }
}

// torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5, 5], gamma=0.3) over eight epochs.
TEST(Schedule, MultistepEqualsPyTorchs) {
  const ScheduleOptions options{.kind = ScheduleKind::multistep, .milestones = {2, 5, 5}, .gamma = 0.3};
  const double expected[] = {1.0, 1.0, 0.3, 0.3, 0.3, 0.027, 0.027, 0.027};
  for (int64_t epoch = 0; epoch < 8; ++epoch) {
    EXPECT_NEAR(learning_rate_factor(options, 3 * epoch, 24, 3), expected[epoch], 1e-12) << epoch;
    EXPECT_NEAR(learning_rate_factor(options, 3 * epoch + 2, 24, 3), expected[epoch], 1e-12) << epoch;
  }
}

std::vector<EpochSummary> epochs_of(Metric metric, const std::vector<double>& values) {
  std::vector<EpochSummary> epochs;
  for (const double value : values) {
    EpochSummary epoch{.epoch = static_cast<int64_t>(epochs.size())};
    if (metric == Metric::loss) epoch.loss = value;
    if (metric == Metric::val_accuracy) epoch.val_accuracy = value;
    epochs.push_back(epoch);
  }
  return epochs;
}

void expect_plateau(const PlateauOptions& options, Metric metric, const std::vector<double>& values,
                    const std::vector<double>& expected) {
  const std::vector<EpochSummary> epochs = epochs_of(metric, values);
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(plateau_factor(options, metric, std::span(epochs).first(i)), expected[i], 1e-12) << i;
}

// torch.optim.lr_scheduler.ReduceLROnPlateau: the rate in each epoch, stepped with the values.
TEST(Schedule, PlateauEqualsPyTorchs) {
  expect_plateau({.factor = 0.5, .patience = 1, .cooldown = 1}, Metric::loss,
                 {1.0, 0.9, 0.89995, 0.95, 0.91, 0.92, 0.8, 0.81, 0.82, 0.83, 0.84, 0.85},
                 {1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25});
  expect_plateau({.factor = 0.1, .patience = 0, .min_fraction = 0.005}, Metric::val_accuracy,
                 {0.1, 0.2, 0.2, 0.2, 0.2, 0.15, 0.3, 0.3}, {1.0, 1.0, 1.0, 0.1, 0.01, 0.005, 0.005, 0.005});
}

TEST(Schedule, OneStepIsEnough) {
  for (const ScheduleKind kind : {ScheduleKind::constant, ScheduleKind::cosine, ScheduleKind::one_cycle}) {
    EXPECT_TRUE(std::isfinite(learning_rate_factor({.kind = kind}, 0, 1, 1)));
  }
}

TEST(Schedule, NamesParseBackAndUnknownOnesAreRefused) {
  for (const ScheduleKind kind : {ScheduleKind::constant, ScheduleKind::cosine, ScheduleKind::one_cycle,
                                  ScheduleKind::multistep, ScheduleKind::plateau}) {
    EXPECT_EQ(parse_schedule(schedule_name(kind)), kind);
  }
  EXPECT_THROW(parse_schedule("linear"), InvalidArgument);
}

TEST(Schedule, RefusesValuesOutOfRange) {
  EXPECT_THROW(ScheduleOptions{.final_fraction = 1.5}.validate(), InvalidArgument);
  EXPECT_THROW(ScheduleOptions{.warmup_epochs = -1}.validate(), InvalidArgument);
  EXPECT_THROW(ScheduleOptions{.kind = ScheduleKind::multistep}.validate(), InvalidArgument);
  EXPECT_THROW((ScheduleOptions{.milestones = {3, 2}}.validate()), InvalidArgument);
  EXPECT_THROW(ScheduleOptions{.gamma = 0}.validate(), InvalidArgument);
  EXPECT_THROW(PlateauOptions{.factor = 1}.validate(), InvalidArgument);
  EXPECT_THROW(ScheduleOptions{.start_divisor = 0.5}.validate(), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::train
