// Changes brightness, contrast, saturation and hue by random factors in random order: torchvision's ColorJitter.
#pragma once

#include "limbeck/data/transforms/sample_key.h"

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <vector>

namespace limbeck::data {

/// Each option is empty (left alone), one number x (factors in [max(0, 1 - x), 1 + x], for hue in [-x, x]) or the
/// lowest and highest factor.
struct ColorJitter {
  std::vector<double> brightness = {};
  std::vector<double> contrast = {};
  std::vector<double> saturation = {};
  std::vector<double> hue = {};  ///< within -0.5 to 0.5 of the colour circle
};

/// One showing's factors, and the order in which they are applied: 0 brightness, 1 contrast, 2 saturation, 3 hue.
struct ColorChange {
  std::array<int, 4> order{0, 1, 2, 3};
  std::optional<double> brightness, contrast, saturation, hue;
};

/// Throws InvalidArgument if an option is out of range.
void check(const ColorJitter& jitter);

ColorChange draw(const ColorJitter& jitter, const SampleKey& key, std::size_t place);

/// The changes one after the other, rounded to bytes after each. image: uint8 [C, H, W], C 1 or 3.
at::Tensor apply(const ColorChange& change, const at::Tensor& image);

}  // namespace limbeck::data
