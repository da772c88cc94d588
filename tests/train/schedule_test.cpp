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

TEST(Schedule, OneStepIsEnough) {
  for (const ScheduleKind kind : {ScheduleKind::constant, ScheduleKind::cosine, ScheduleKind::one_cycle}) {
    EXPECT_TRUE(std::isfinite(learning_rate_factor({.kind = kind}, 0, 1, 1)));
  }
}

TEST(Schedule, NamesParseBackAndUnknownOnesAreRefused) {
  for (const ScheduleKind kind : {ScheduleKind::constant, ScheduleKind::cosine, ScheduleKind::one_cycle}) {
    EXPECT_EQ(parse_schedule(schedule_name(kind)), kind);
  }
  EXPECT_THROW(parse_schedule("linear"), InvalidArgument);
}

TEST(Schedule, RefusesValuesOutOfRange) {
  EXPECT_THROW(ScheduleOptions{.final_fraction = 1.5}.validate(), InvalidArgument);
  EXPECT_THROW(ScheduleOptions{.warmup_epochs = -1}.validate(), InvalidArgument);
  EXPECT_THROW(ScheduleOptions{.start_divisor = 0.5}.validate(), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::train
