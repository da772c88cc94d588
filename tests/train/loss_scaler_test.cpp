#include "limbeck/train/loss_scaler.h"

#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "tests/train/set_networks.h"

namespace limbeck::train {
namespace {

using testing::message_of;

/// The rule and the values of torch.amp.GradScaler's defaults, but for the interval.
TEST(LossScaler, GrowsAndBacksOff) {
  LossScaler scaler({.growth_interval = 3});
  EXPECT_EQ(scaler.scale(), 65536);
  scaler.update(false);
  scaler.update(false);
  scaler.update(true);  // starts the interval anew
  EXPECT_EQ(scaler.scale(), 32768);
  scaler.update(false);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 32768);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 65536);
  EXPECT_EQ(scaler.growth_steps(), 0);
}

TEST(LossScaler, StaysAFiniteFloat32) {
  LossScaler scaler({.initial_scale = 3e38, .growth_interval = 1});
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 3e38);
}

TEST(LossScaler, GivesUpAfterManySkipsInARow) {
  LossScaler scaler({.initial_scale = 8, .max_skips = 3});
  scaler.update(true);
  scaler.update(true);
  scaler.update(false);
  EXPECT_EQ(scaler.skips_in_a_row(), 0);
  scaler.update(true);
  scaler.update(true);
  EXPECT_EQ(
      message_of<InvalidArgument>([&] { scaler.update(true); }),
      "[scaler] the gradients were not finite in 3 steps in a row, down to a loss scale of 0.25. The loss itself is "
      "not finite, or float16 is too narrow for this model: use bf16 or fp32.");
}

TEST(LossScaler, GoesOnFromItsState) {
  LossScaler first({.growth_interval = 5}), second({.growth_interval = 5});
  for (const bool overflow : {true, false, false}) first.update(overflow);
  second.load_state(core::parse_json(first.state().dump()));
  for (LossScaler* scaler : {&first, &second}) {
    for (int step = 0; step < 3; ++step) scaler->update(false);
    EXPECT_EQ(scaler->scale(), 65536);
  }
  EXPECT_EQ(first.state(), second.state());
}

TEST(LossScaler, RefusesWhatIsNoState) {
  LossScaler scaler;
  EXPECT_THROW(scaler.load_state(core::parse_json("{}")), IoError);
  EXPECT_EQ(message_of<IoError>([&] {
              scaler.load_state(core::parse_json(R"({"scale": -1.0, "growth_steps": 0, "skips_in_a_row": 0})"));
            }),
            "[scaler] state.scale must be above 0, got -1.0");
  EXPECT_EQ(scaler.scale(), 65536);
}

TEST(LossScaler, ChecksOptions) {
  EXPECT_EQ(message_of<InvalidArgument>([] { LossScaler({.backoff_factor = 1}); }),
            "[scaler] backoff_factor must lie between 0 and 1, got 1");
  EXPECT_EQ(message_of<InvalidArgument>([] { LossScaler({.growth_factor = 1}); }),
            "[scaler] growth_factor must be above 1, got 1");
  EXPECT_EQ(message_of<InvalidArgument>([] { LossScaler({.initial_scale = 0}); }),
            "[scaler] initial_scale must be above 0, got 0");
  EXPECT_EQ(message_of<InvalidArgument>([] { LossScaler({.growth_interval = 0}); }),
            "[scaler] growth_interval must be at least 1, got 0");
  EXPECT_EQ(message_of<InvalidArgument>([] { LossScaler({.max_skips = 0}); }),
            "[scaler] max_skips must be at least 1, got 0");
}

}  // namespace
}  // namespace limbeck::train
