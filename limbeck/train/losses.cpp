#include "limbeck/train/losses.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <fmt/ranges.h>

#include "limbeck/core/error.h"
#include "limbeck/train/loop/labels.h"

namespace limbeck::train {

at::Tensor in_loss_precision(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? tensor : tensor.to(at::kFloat);
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets, double label_smoothing) {
  LIMBECK_CHECK(logits.dim() == 2 && logits.is_floating_point(),
                "[cross_entropy] logits must be floating point [B, C], got {} {}", toString(logits.scalar_type()),
                logits.sizes().vec());
  // Symbolic: in a trace, sizes() and size() would make the batch size a constant.
  const bool are_labels =
      targets.dim() == 1 && targets.sym_size(0) == logits.sym_size(0) && targets.scalar_type() == at::kLong;
  const bool are_soft = targets.sym_sizes() == logits.sym_sizes() && targets.is_floating_point();
  LIMBECK_CHECK(are_labels || are_soft,
                "[cross_entropy] targets must be int64 [{}] (labels) or floating point {} (soft targets), got {} {}",
                logits.size(0), logits.sizes().vec(), toString(targets.scalar_type()), targets.sizes().vec());
  LIMBECK_CHECK(label_smoothing >= 0 && label_smoothing <= 1,
                "[cross_entropy] label_smoothing must lie in [0, 1], got {}", label_smoothing);
  const int64_t classes = logits.sym_size(1).guard_int(__FILE__, __LINE__);
  if (const auto row = are_labels ? find_stray_row(targets, classes) : std::nullopt) {
    fail<InvalidArgument>(
        "[cross_entropy] a label must lie in 0..{}, by the classes of the logits (or be {}, which leaves its row out), "
        "and row {} of the batch has the label {}. Correct it, or give the model more classes.",
        classes - 1, kIgnoredLabel, *row, targets[*row].item<int64_t>());
  }
  const at::Tensor scores = in_loss_precision(logits);
  return at::cross_entropy_loss(scores, are_soft ? targets.to(scores.scalar_type()) : targets, {}, at::Reduction::Mean,
                                kIgnoredLabel, label_smoothing);
}

}  // namespace limbeck::train
