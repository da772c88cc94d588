// A learning rate that falls when the monitored metric stops getting better.
#pragma once

#include <cstdint>
#include <span>

#include "limbeck/train/loop/monitor.h"

namespace limbeck::train {

struct PlateauOptions {
  double factor = 0.1;      // the rate is multiplied by this
  int64_t patience = 10;    // after more than so many epochs without improvement
  double threshold = 1e-4;  // relative: an improvement is better than the best by this share of it
  int64_t cooldown = 0;     // epochs after a fall that do not count
  double min_fraction = 0;  // the rate stays above this fraction of the optimizer's

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// The factor on the learning rate after these epochs: that of torch.optim.lr_scheduler.ReduceLROnPlateau (mode min or
/// max as the metric has it, threshold_mode rel), stepped once an epoch.
double plateau_factor(const PlateauOptions& options, Metric metric, std::span<const EpochSummary> epochs);

}  // namespace limbeck::train
