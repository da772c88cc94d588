// Distillation losses on logits: pure functions in log space, computed in float32, one reduction (the mean over the
// batch).
#pragma once

#include <ATen/core/Tensor.h>

namespace limbeck::distill {

/// KL divergence at a temperature, per sample: T² · Σ softmax(t/T) · (log softmax(t/T) - log softmax(s/T)), [B].
/// Hinton et al. 2015 (arXiv:1503.02531), section 2: the factor T² keeps the gradients' size as T changes.
/// Shapes: student, teacher [B, C], any float dtype. T > 0, dimensionless. The teacher gets no gradient.
/// Throws InvalidArgument if the shapes differ or T is not above 0.
at::Tensor kd_divergence_per_sample(const at::Tensor& student, const at::Tensor& teacher, double temperature);

/// The mean of kd_divergence_per_sample over the batch ("batchmean"): a scalar.
at::Tensor kd_divergence(const at::Tensor& student, const at::Tensor& teacher, double temperature);

struct KdOptions {
  double temperature = 4;      // of both softmaxes
  double alpha = 0.7;          // weight of the teacher's term; 1 - alpha is the labels'
  double label_smoothing = 0;  // of the labels' term

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// alpha · kd_divergence + (1 - alpha) · cross-entropy with the labels. labels: [B] int64, or [B, C] floating point
/// where they are soft (MixUp, CutMix), or undefined with alpha = 1. Returns a scalar.
at::Tensor kd(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& labels,
              const KdOptions& options = {});

/// Mean squared error between features of one shape, over all elements, in float32 (the hint loss of Romero et al.
/// 2015, arXiv:1412.6550, as a mean). The teacher gets no gradient. Throws InvalidArgument if the shapes differ.
at::Tensor feature_mse(const at::Tensor& student, const at::Tensor& teacher);

}  // namespace limbeck::distill
