#include "limbeck/train/loop/labels.h"

#include <ATen/TensorSubclassLikeUtils.h>

#include "limbeck/core/error.h"
#include "limbeck/data/stray_label.h"

namespace limbeck::train {

std::optional<std::int64_t> find_stray_row(const at::Tensor& labels, std::int64_t num_classes) {
  if (!labels.is_cpu() || at::isTensorSubclassLike(labels) || !labels.has_storage()) return std::nullopt;
  const std::optional<data::StrayLabel> stray = data::find_stray_label(labels, num_classes, kIgnoredLabel);
  if (!stray) return std::nullopt;
  return stray->index;
}

void check_labels(const data::Batch& batch, const at::Tensor& logits) {
  if (batch.targets.defined() || logits.dim() != 2) return;
  const std::optional<std::int64_t> row = find_stray_row(batch.y, logits.size(1));
  if (!row) return;
  fail<InvalidArgument>(
      "[train] sample {} has the label {}, and the model gives logits of {} classes. Correct the label, or give the "
      "model more classes (replace_head).",
      batch.index.defined() ? batch.index[*row].item<std::int64_t>() : *row, batch.y[*row].item<std::int64_t>(),
      logits.size(1));
}

}  // namespace limbeck::train
