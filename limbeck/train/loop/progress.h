// Where a training run stands: all of it that is numbers, so that schedules, early stopping and reports can be
// functions of it, and a resumed run decides what an unbroken one would.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "limbeck/core/json/json.h"
#include "limbeck/data/loader.h"

namespace limbeck::train {

/// What held-out samples say of a model.
struct ValidationResult {
  double accuracy = 0;  // top-1
  double loss = 0;      // mean cross-entropy with the labels
};

/// Sums since the epoch began, so that a resumed epoch reports what an unbroken one would.
struct EpochMeter {
  double loss_sum = 0;  // of per-batch means, weighted by samples
  int64_t correct = 0;
  int64_t samples = 0;
};

/// Results of one finished epoch.
struct EpochSummary {
  int64_t epoch = 0;
  double loss = 0;                                    // mean over the samples
  double train_accuracy = 0;                          // top-1 on the batches as they were trained on
  double seconds = 0;                                 // of training, without validation
  std::optional<double> val_accuracy = std::nullopt;  // top-1 on the held-out samples, where there are some
  std::optional<double> val_loss = std::nullopt;      // mean cross-entropy on them
  // Of the averaged weights, where they are kept beside the trained ones.
  std::optional<ValidationResult> averaged = std::nullopt;
};

/// Both count the last one, which may be smaller than the others.
struct EpochLength {
  int64_t batches = 0;
  int64_t steps = 0;  // of the optimizer
};

struct Progress {
  data::LoaderState next;  // the batch that comes next
  int64_t step = 0;        // optimizer steps made
  EpochMeter meter;
  std::vector<EpochSummary> epochs;
  std::size_t best_from =
      0;  // place in epochs of the first one that may be the best: no earlier one's weights are kept
  std::optional<EpochLength> length = std::nullopt;  // nothing in checkpoints from before it was written
};

core::Json to_json(const EpochSummary& epoch);
core::Json to_json(const Progress& progress);
/// Inverse of to_json. Throws IoError naming what is wrong.
Progress progress_from_json(const core::JsonView& json);

}  // namespace limbeck::train
