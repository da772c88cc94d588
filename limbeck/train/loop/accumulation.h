// Gradient accumulation: several batches make one optimizer step, as if they were one large batch.
#pragma once

#include <cstdint>

#include "limbeck/data/loader.h"

namespace limbeck::train {

/// The batches of one optimizer step.
struct BatchGroup {
  int64_t batches = 0;
  int64_t samples = 0;
};

/// The group that begins at batch `first` of an epoch, at most `accumulate` batches: the epoch's last one may be
/// smaller, in batches and, without drop_last, in samples. A batch of n samples whose loss is its mean then counts
/// n / samples, so that the sum is the mean over the group.
BatchGroup group_at(const data::Loader& loader, int64_t first, int64_t accumulate);

/// Optimizer steps of an epoch.
int64_t steps_per_epoch(const data::Loader& loader, int64_t accumulate);

}  // namespace limbeck::train
