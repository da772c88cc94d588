#include "limbeck/train/losses.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <fmt/ranges.h>

#include "limbeck/core/error.h"

namespace limbeck::train {

at::Tensor in_loss_precision(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? tensor : tensor.to(at::kFloat);
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels, double label_smoothing) {
  LIMBECK_CHECK(logits.dim() == 2 && logits.is_floating_point(),
                "[cross_entropy] logits must be floating point [B, C], got {} {}", toString(logits.scalar_type()),
                logits.sizes().vec());
  LIMBECK_CHECK(labels.dim() == 1 && labels.size(0) == logits.size(0) && labels.scalar_type() == at::kLong,
                "[cross_entropy] labels must be int64 [{}], got {} {}", logits.size(0), toString(labels.scalar_type()),
                labels.sizes().vec());
  LIMBECK_CHECK(label_smoothing >= 0 && label_smoothing <= 1,
                "[cross_entropy] label_smoothing must lie in [0, 1], got {}", label_smoothing);
  return at::cross_entropy_loss(in_loss_precision(logits), labels, {}, at::Reduction::Mean, -100, label_smoothing);
}

}  // namespace limbeck::train
