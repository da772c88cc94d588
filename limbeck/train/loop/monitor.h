// What is watched from epoch to epoch: which epoch was the best, and for how long none was better. Functions of the
// epochs so far, without a state of their own, so that a resumed run decides what an unbroken one would.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "limbeck/train/loop/progress.h"

namespace limbeck::train {

enum class Metric : uint8_t { val_accuracy, val_loss, train_accuracy, loss };
std::string_view metric_name(Metric metric);
/// Throws InvalidArgument naming the valid ones.
Metric parse_metric(std::string_view name);

bool is_of_validation(Metric metric);
/// Accuracies grow as a model gets better, losses fall.
bool is_higher_better(Metric metric);

/// False for a metric of validation where no samples were held out.
bool has_metric(const EpochSummary& epoch, Metric metric);

/// The metric of an epoch. Throws InvalidArgument, saying what to do, where it needs held-out samples and there were
/// none.
double metric_of(const EpochSummary& epoch, Metric metric);

/// The first epoch that none is better than: its place in `epochs`. Nothing where there is none, or all are NaN.
std::optional<std::size_t> best_epoch(std::span<const EpochSummary> epochs, Metric metric);

struct EarlyStopOptions {
  int64_t patience = 0;  // epochs without improvement after which training ends; 0: it never does
  double min_delta = 0;  // what counts as an improvement: better than the best by more than this

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// Whether the last `patience` epochs brought no improvement (as Keras' EarlyStopping).
bool is_early_stop(std::span<const EpochSummary> epochs, Metric metric, const EarlyStopOptions& options);

}  // namespace limbeck::train
