#include "limbeck/train/loop/monitor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "limbeck/core/error.h"

namespace limbeck::train {

namespace {

constexpr std::array<std::pair<Metric, std::string_view>, 4> kNames = {{
    {Metric::val_accuracy, "val_accuracy"},
    {Metric::val_loss, "val_loss"},
    {Metric::train_accuracy, "train_accuracy"},
    {Metric::loss, "loss"},
}};

/// The metric so that larger is better.
double score_of(const EpochSummary& epoch, Metric metric) {
  const double value = metric_of(epoch, metric);
  return is_higher_better(metric) ? value : -value;
}

constexpr double kWorst = -std::numeric_limits<double>::infinity();

}  // namespace

std::string_view metric_name(Metric metric) {
  return std::find_if(kNames.begin(), kNames.end(), [metric](const auto& entry) { return entry.first == metric; })
      ->second;
}

Metric parse_metric(std::string_view name) {
  for (const auto& [metric, known] : kNames) {
    if (name == known) return metric;
  }
  fail<InvalidArgument>("[train] monitor '{}' does not exist. Use val_accuracy, val_loss, train_accuracy or loss.",
                        name);
}

bool is_of_validation(Metric metric) { return metric == Metric::val_accuracy || metric == Metric::val_loss; }

bool is_higher_better(Metric metric) { return metric == Metric::val_accuracy || metric == Metric::train_accuracy; }

bool has_metric(const EpochSummary& epoch, Metric metric) {
  return !is_of_validation(metric) || epoch.val_accuracy.has_value();  // val_loss comes with it
}

double metric_of(const EpochSummary& epoch, Metric metric) {
  if (metric == Metric::loss) return epoch.loss;
  if (metric == Metric::train_accuracy) return epoch.train_accuracy;
  const std::optional<double> value = metric == Metric::val_accuracy ? epoch.val_accuracy : epoch.val_loss;
  LIMBECK_CHECK(value, "[train] monitor: {} needs held-out samples. Hold some out with val_size, or monitor loss.",
                metric_name(metric));
  return *value;
}

std::optional<std::size_t> best_epoch(std::span<const EpochSummary> epochs, Metric metric) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    const double score = score_of(epochs[i], metric);
    if (!std::isnan(score) && (!best || score > score_of(epochs[*best], metric))) best = i;
  }
  return best;
}

void EarlyStopOptions::validate() const {
  LIMBECK_CHECK(patience >= 0, "[early_stop] patience must be at least 0, got {}", patience);
  LIMBECK_CHECK(min_delta >= 0, "[early_stop] min_delta must be at least 0, got {}", min_delta);
}

bool is_early_stop(std::span<const EpochSummary> epochs, Metric metric, const EarlyStopOptions& options) {
  if (options.patience == 0) return false;
  double best = kWorst;
  int64_t num_without = 0;
  for (const EpochSummary& epoch : epochs) {
    const double score = score_of(epoch, metric);
    const bool is_improvement = score - options.min_delta > best;
    if (is_improvement) best = score;
    num_without = is_improvement ? 0 : num_without + 1;
  }
  return num_without >= options.patience;
}

}  // namespace limbeck::train
