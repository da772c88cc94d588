#include "limbeck/train/loop/accumulation.h"

#include <algorithm>

namespace limbeck::train {

BatchGroup group_at(const data::Loader& loader, int64_t first, int64_t accumulate) {
  const int64_t batch_size = loader.options().batch_size;
  const int64_t last = std::min(first + accumulate, loader.batches_per_epoch());
  const int64_t samples = std::min(last * batch_size, loader.samples_per_epoch()) - first * batch_size;
  return {.batches = last - first, .samples = samples};
}

int64_t steps_per_epoch(const data::Loader& loader, int64_t accumulate) {
  return (loader.batches_per_epoch() + accumulate - 1) / accumulate;
}

}  // namespace limbeck::train
