// Labels of a training batch against the classes that the model tells apart.
#pragma once

#include <optional>

#include "limbeck/data/loader.h"

namespace limbeck::train {

/// A label that leaves its sample out of the loss: PyTorch's default.
inline constexpr std::int64_t kIgnoredLabel = -100;

/// The first row of `labels` that is neither in 0..num_classes-1 nor kIgnoredLabel. Shape: [B], int64. Looks at labels
/// on the CPU alone: elsewhere it would wait for the device in every step. Labels without numbers of their own, those
/// of a trace (FakeTensor) or under vmap, pass.
std::optional<std::int64_t> find_stray_row(const at::Tensor& labels, std::int64_t num_classes);

/// Throws InvalidArgument, naming the sample by its index in the dataset, where find_stray_row finds one for logits
/// [B, classes]. Soft labels and logits of another shape pass: the loss judges those.
void check_labels(const data::Batch& batch, const at::Tensor& logits);

}  // namespace limbeck::train
