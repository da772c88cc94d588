// Labels that are no class of a model or dataset, with the sample that has them: what a message must name.
#pragma once

#include "limbeck/data/dataset.h"

namespace limbeck::data {

/// A label that is no class, and the sample that has it.
struct StrayLabel {
  std::int64_t index = 0;
  std::int64_t label = 0;
  std::string file{};  // of the sample, where it is one

  /// "sample 17 has the label 12", "sample 17 (cat/7.png) has the label 12".
  std::string to_string() const;
};

/// The first of `labels` that is neither in 0..num_classes-1 nor `ignored`. Shape: [N], int64, on the CPU.
std::optional<StrayLabel> find_stray_label(const at::Tensor& labels, std::int64_t num_classes,
                                           std::optional<std::int64_t> ignored = std::nullopt);

/// The first sample of the dataset whose label is not in 0..num_classes-1. Asks each sample for its label until then.
/// Throws IoError where the file of that sample cannot be read.
std::optional<StrayLabel> find_stray_label(const Dataset& dataset, std::int64_t num_classes);

}  // namespace limbeck::data
