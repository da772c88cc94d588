#include "limbeck/train/loop/plateau.h"

#include <algorithm>
#include <limits>

#include "limbeck/core/error.h"

namespace limbeck::train {

namespace {

bool is_better(double value, double best, Metric metric, double threshold) {
  return is_higher_better(metric) ? value > best * (1 + threshold) : value < best * (1 - threshold);
}

}  // namespace

void PlateauOptions::validate() const {
  LIMBECK_CHECK(factor > 0 && factor < 1, "[plateau] factor must lie between 0 and 1, got {}", factor);
  LIMBECK_CHECK(patience >= 0 && cooldown >= 0, "[plateau] patience and cooldown must be at least 0, got {} and {}",
                patience, cooldown);
  LIMBECK_CHECK(threshold >= 0 && threshold < 1, "[plateau] threshold must lie in [0, 1), got {}", threshold);
  LIMBECK_CHECK(min_fraction >= 0 && min_fraction <= 1, "[plateau] min_fraction must lie in [0, 1], got {}",
                min_fraction);
}

double plateau_factor(const PlateauOptions& options, Metric metric, std::span<const EpochSummary> epochs) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double result = 1, best = is_higher_better(metric) ? -kInfinity : kInfinity;
  int64_t num_bad = 0, cooling = 0;
  for (const EpochSummary& epoch : epochs) {
    const double value = metric_of(epoch, metric);
    const bool improves = is_better(value, best, metric, options.threshold);
    if (improves) best = value;
    num_bad = improves ? 0 : num_bad + 1;
    if (cooling > 0) {
      --cooling;
      num_bad = 0;
    }
    if (num_bad <= options.patience) continue;
    result = std::max(result * options.factor, options.min_fraction);
    cooling = options.cooldown;
    num_bad = 0;
  }
  return result;
}

}  // namespace limbeck::train
