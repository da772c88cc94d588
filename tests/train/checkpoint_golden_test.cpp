// Checkpoints that were written once and for all: every later Limbeck goes on from them.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "limbeck/core/files/file.h"
#include "tests/train/tiny_network.h"

namespace limbeck::train {
namespace {

namespace fs = std::filesystem;

using testing::plain_network;
using testing::run;

const fs::path kGolden = LIMBECK_SOURCE_DIR "/tests/train/golden";

/// Of 30 steps, 10 an epoch.
constexpr int kStep = 13;

/// What the newest format holds beside weights and moments: averages, a loss scale, results of a validation.
TrainOptions newest() {
  TrainOptions options = testing::options(OptimizerKind::sgd, Precision::fp16);
  options.ema = {.decay = 0.9, .use = AverageUse::beside};
  options.loss_scale = {.initial_scale = 1024, .growth_interval = 5};
  return options;
}

RunControl control_of(const fs::path& folder) {
  return {.checkpoint_directory = folder, .run_hash = "golden", .validate = [](const Model& model) {
            return std::optional(testing::validate(model));
          }};
}

/// Only where the environment asks for it.
void write_golden(const fs::path& folder, const TrainOptions& options) {
  if (std::getenv("LIMBECK_WRITE_GOLDEN") == nullptr) return;
  fs::remove_all(folder);
  core::StopFlag stop;
  RunControl control = control_of(folder);
  control.stop = &stop;
  int steps = 0;
  control.on_progress = [&](const ProgressEvent& event) {
    if (!event.is_epoch_end && ++steps == kStep) stop.request();
  };
  run(plain_network(1), options, control);
}

double largest_difference(const Model& a, const Model& b) {
  double largest = 0;
  const auto of_a = a.parameters(), of_b = b.parameters();
  for (std::size_t i = 0; i < of_a.size(); ++i)
    largest = std::max(largest, (of_a[i] - of_b[i]).abs().max().item<double>());
  return largest;
}

/// Goes on from a copy of the golden checkpoint and compares with a run that was never interrupted. The file may be of
/// another CPU, whose rounding differs by far less than what a moment, a rate or an order out of place would make: a
/// step is 0.003 for AdamW and more for SGD.
void expect_continued(const fs::path& golden, const TrainOptions& options) {
  const core::TemporaryDirectory folder;
  const fs::path copy = folder.path() / "checkpoint";
  fs::copy(golden, copy, fs::copy_options::recursive);
  const Model resumed = plain_network(2), unbroken = plain_network(1);
  const TrainSummary summary = run(resumed, options, control_of(copy));
  const TrainSummary whole = run(unbroken, options, control_of({}));
  EXPECT_TRUE(summary.completed);
  EXPECT_EQ(summary.resumed_at_step, kStep);
  EXPECT_LE(largest_difference(resumed, unbroken), 1e-3);
  ASSERT_EQ(summary.progress.epochs.size(), whole.progress.epochs.size());
  for (std::size_t i = 0; i < whole.progress.epochs.size(); ++i) {
    EXPECT_NEAR(summary.progress.epochs[i].loss, whole.progress.epochs[i].loss, 1e-3);
    EXPECT_NEAR(summary.progress.epochs[i].val_accuracy.value(), whole.progress.epochs[i].val_accuracy.value(), 0.05);
  }
  ASSERT_EQ(summary.averaged_model.has_value(), whole.averaged_model.has_value());
  if (whole.averaged_model) {
    EXPECT_LE(largest_difference(*summary.averaged_model, *whole.averaged_model), 1e-3);
  }
}

TEST(CheckpointGolden, WithAveragesLossScaleAndValidationIsContinued) {
  write_golden(kGolden / "version_2", newest());
  expect_continued(kGolden / "version_2", newest());
}

/// As checkpoints were before they could hold averages, loss scales and the loss of a validation: of plain AdamW,
/// without what that writer did not have.
TEST(CheckpointGolden, OfTheFirstFormatIsContinued) {
  expect_continued(kGolden / "version_1", testing::options(OptimizerKind::adamw));
}

}  // namespace
}  // namespace limbeck::train
