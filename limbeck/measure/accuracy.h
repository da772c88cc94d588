// Accuracy of a classifier over a dataset, gathered batch by batch: top-1 and top-5 with intervals, confusion,
// per-class accuracy, negative log-likelihood and calibration error.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace limbeck::measure {

/// A confidence interval of a share, both ends in 0..1.
struct Interval {
  double low = 0;
  double high = 1;
};

/// Wilson's score interval at 95 % (Wilson 1927, "Probable Inference, the Law of Succession, and Statistical
/// Inference"), which holds also near 0 and 1. Throws InvalidArgument unless 0 <= num_successes <= num_trials; no
/// trials give [0, 1].
Interval wilson_interval(std::int64_t num_successes, std::int64_t num_trials);

/// Counts of (true class, predicted class): row-major [num_classes, num_classes].
struct Confusion {
  std::int64_t num_classes = 0;
  std::vector<std::int64_t> counts;

  std::int64_t at(std::int64_t truth, std::int64_t predicted) const {
    return counts[static_cast<std::size_t>(truth * num_classes + predicted)];
  }
};

struct AccuracyResult {
  std::int64_t num_samples = 0;
  std::int64_t num_top1 = 0;          ///< samples whose label has the largest logit
  std::int64_t num_top5 = 0;          ///< samples whose label is among the five largest
  std::int64_t num_not_a_number = 0;  ///< samples with a NaN among their logits: counted as wrong, in no confusion cell
  double top1 = 0;                    ///< shares, 0..1
  double top5 = 0;
  Interval top1_interval;
  Interval top5_interval;
  double nll = 0;  ///< mean of -log softmax(logits)[label], in nats; NaN if any sample is NaN
  double ece = 0;  ///< expected calibration error, 0..1; NaN if any sample is NaN
  Confusion confusion;
  std::vector<double> per_class;  ///< share of each class's samples predicted right; NaN for a class without samples
};

/// Gathers an AccuracyResult. A label's rank counts the logits above it, and equal ones of a smaller class index, so a
/// model that says the same for all classes gets no credit. Softmax in double precision. Used by one thread at a time.
class Accuracy {
 public:
  /// Bins of the calibration error: 15 of equal width, as in Guo et al. 2017 (arXiv:1706.04599), section 5.
  static constexpr int kNumBins = 15;

  /// Throws InvalidArgument unless num_classes >= 1.
  explicit Accuracy(std::int64_t num_classes);

  /// Adds a batch. Shapes: logits [B, num_classes], any float dtype, any device; labels [B], int64. Waits for the
  /// device. Throws InvalidArgument if shapes or dtypes differ from that or a label is no class; nothing is then added.
  void add(const at::Tensor& logits, const at::Tensor& labels);

  /// Of all batches so far. Shares of no samples are 0, nll and ece too.
  AccuracyResult result() const;

 private:
  struct Bin {
    std::int64_t count = 0;
    std::int64_t num_right = 0;
    double sum_confidence = 0;
  };

  void add_sample(std::span<const double> logits, std::int64_t label);
  double calibration_error() const;

  std::int64_t num_samples_ = 0;
  std::int64_t num_top1_ = 0;
  std::int64_t num_top5_ = 0;
  std::int64_t num_not_a_number_ = 0;
  double sum_nll_ = 0;
  std::vector<Bin> bins_;
  std::vector<std::int64_t> class_counts_;  // samples of each class, NaN ones too
  Confusion confusion_;
};

}  // namespace limbeck::measure
