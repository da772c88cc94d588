#include "limbeck/measure/accuracy.h"

#include "limbeck/core/error.h"
#include "limbeck/measure/logit_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace limbeck::measure {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kNormal95 = 1.959963984540054;  // the 97.5 % point of the standard normal distribution

// How many classes come before `label` when classes are ordered by falling logit, then by rising index.
std::int64_t rank(std::span<const double> logits, std::int64_t label) {
  const auto at_label = static_cast<std::size_t>(label);
  std::int64_t before = 0;
  for (std::size_t c = 0; c < logits.size(); ++c) {
    before += logits[c] > logits[at_label] || (logits[c] == logits[at_label] && c < at_label);
  }
  return before;
}

// Bins are (m/M, (m+1)/M], the first closed below.
std::size_t bin_of(double confidence) {
  const auto bin = static_cast<std::int64_t>(std::ceil(confidence * Accuracy::kNumBins)) - 1;
  return static_cast<std::size_t>(std::clamp<std::int64_t>(bin, 0, Accuracy::kNumBins - 1));
}

double share(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

Interval wilson_interval(std::int64_t num_successes, std::int64_t num_trials) {
  LIMBECK_CHECK(num_successes >= 0 && num_successes <= num_trials, "[measure] {} successes in {} trials.",
                num_successes, num_trials);
  if (num_trials == 0) return {};
  const auto n = static_cast<double>(num_trials);
  const double p = static_cast<double>(num_successes) / n;
  const double z2 = kNormal95 * kNormal95;
  const double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kNormal95 / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {num_successes == 0 ? 0 : centre - half, num_successes == num_trials ? 1 : centre + half};
}

Accuracy::Accuracy(std::int64_t num_classes) : bins_(kNumBins) {
  LIMBECK_CHECK(num_classes >= 1 && num_classes <= 1 << 15,
                "[accuracy] the number of classes must lie in 1..{}, got {}.", 1 << 15, num_classes);
  const auto classes = static_cast<std::size_t>(num_classes);
  class_counts_.resize(classes);
  confusion_ = {num_classes, std::vector<std::int64_t>(classes * classes)};
}

void Accuracy::add(const at::Tensor& logits, const at::Tensor& labels) {
  const LogitRows rows(logits, confusion_.num_classes, "accuracy");
  LIMBECK_CHECK(
      labels.defined() && labels.dim() == 1 && labels.scalar_type() == at::kLong && labels.size(0) == rows.size(),
      "[accuracy] labels must be an int64 tensor [{}], one per row of logits.", rows.size());
  const at::Tensor cpu_labels = labels.to(at::kCPU).contiguous();
  const std::span label(cpu_labels.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(rows.size()));
  for (std::size_t i = 0; i < label.size(); ++i) {
    LIMBECK_CHECK(label[i] >= 0 && label[i] < confusion_.num_classes,
                  "[accuracy] the label of sample {} must lie in 0..{}, of {} classes, got {}.",
                  num_samples_ + static_cast<std::int64_t>(i), confusion_.num_classes - 1, confusion_.num_classes,
                  label[i]);
  }
  for (std::int64_t i = 0; i < rows.size(); ++i) add_sample(rows.row(i), label[static_cast<std::size_t>(i)]);
}

void Accuracy::add_sample(std::span<const double> logits, std::int64_t label) {
  ++num_samples_;
  ++class_counts_[static_cast<std::size_t>(label)];
  if (has_nan(logits)) {
    ++num_not_a_number_;
    return;
  }
  const std::int64_t place = rank(logits, label);
  num_top1_ += place == 0;
  num_top5_ += place < 5;
  const std::int64_t predicted = largest(logits);
  ++confusion_.counts[static_cast<std::size_t>(label * confusion_.num_classes + predicted)];
  const double normalizer = log_sum_exp(logits);
  sum_nll_ += normalizer - logits[static_cast<std::size_t>(label)];
  const double confidence = std::exp(logits[static_cast<std::size_t>(predicted)] - normalizer);
  Bin& bin = bins_[bin_of(confidence)];
  ++bin.count;
  bin.num_right += place == 0;
  bin.sum_confidence += confidence;
}

double Accuracy::calibration_error() const {
  double sum = 0;
  for (const Bin& bin : bins_) sum += std::abs(static_cast<double>(bin.num_right) - bin.sum_confidence);
  return sum / static_cast<double>(num_samples_);
}

AccuracyResult Accuracy::result() const {
  AccuracyResult result{.num_samples = num_samples_,
                        .num_top1 = num_top1_,
                        .num_top5 = num_top5_,
                        .num_not_a_number = num_not_a_number_,
                        .top1 = share(num_top1_, num_samples_),
                        .top5 = share(num_top5_, num_samples_),
                        .top1_interval = wilson_interval(num_top1_, num_samples_),
                        .top5_interval = wilson_interval(num_top5_, num_samples_),
                        .confusion = confusion_,
                        .per_class = {}};
  if (num_samples_ > 0) {
    result.nll = num_not_a_number_ > 0 ? kNan : sum_nll_ / static_cast<double>(num_samples_);
    result.ece = num_not_a_number_ > 0 ? kNan : calibration_error();
  }
  for (std::int64_t c = 0; c < confusion_.num_classes; ++c) {
    const std::int64_t count = class_counts_[static_cast<std::size_t>(c)];
    result.per_class.push_back(count == 0 ? kNan : share(confusion_.at(c, c), count));
  }
  return result;
}

}  // namespace limbeck::measure
