// Losses of plain training.
#pragma once

#include <ATen/core/Tensor.h>

namespace limbeck::train {

/// What losses compute in: float32, or float64 where the input has it.
at::Tensor in_loss_precision(const at::Tensor& tensor);

/// Cross-entropy of logits against classes, computed in float32: the mean over the batch of
/// -Σ q log softmax(logits), q = (1 - label_smoothing) one-hot + label_smoothing / C (Szegedy et al. 2016,
/// arXiv:1512.00567, section 7). Shapes: logits [B, C] floating point; targets either [B] int64, classes in [0, C), or
/// [B, C] floating point, a distribution a row (MixUp, CutMix) that takes the place of one-hot. Returns a scalar.
/// Labels of -100 are left out of the mean, as PyTorch does by default. Throws InvalidArgument if shapes or dtypes do
/// not fit or, on the CPU, a label is no class.
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets, double label_smoothing = 0);

}  // namespace limbeck::train
