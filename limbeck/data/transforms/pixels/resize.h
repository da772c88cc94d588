// Resizing, as torchvision's v2.functional.resize(antialias=True) does it on uint8 tensors. Bytes go through ATen's own
// fixed-point kernels (16-bit weights, the horizontal pass first and rounded to bytes), so outputs are bit-equal to
// torchvision's where ATen has vector kernels; floats through its float kernels.
#pragma once

#include <string>
#include <vector>

#include "limbeck/data/dataset.h"

namespace limbeck::data {

enum class Interpolation : std::uint8_t { nearest, bilinear, bicubic };

/// Height and width in pixels.
struct Size {
  std::int64_t height = 0;
  std::int64_t width = 0;

  bool operator==(const Size&) const = default;
};

/// Largest side that transforms make.
inline constexpr std::int64_t kMaxSide = 1 << 16;

/// The image with `size`. Bilinear and bicubic are antialiased: an output pixel averages all input pixels below its
/// filter. image: [C, H, W], uint8 or float32, with at least one pixel; returns the same dtype, and the image itself
/// where it has that size. Throws InvalidArgument for another image or a side outside 1..kMaxSide.
at::Tensor resize(const at::Tensor& image, const Size& size, Interpolation interpolation);

/// torchvision's rule for `size` = {s}: the shorter side becomes s, the longer int(s * longer / shorter); where that
/// exceeds max_size (> 0), the longer side becomes max_size instead and the shorter follows. {h, w} is taken as it is.
/// Throws InvalidArgument if a side comes out below 1 or above kMaxSide.
Size resized_size(const Size& image, const std::vector<std::int64_t>& size, std::int64_t max_size);

}  // namespace limbeck::data
