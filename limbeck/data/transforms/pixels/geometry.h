// Cropping, flipping and padding, as torchvision's v2.functional crop, center_crop, horizontal_flip, vertical_flip and
// pad do it. Images are [C, H, W], uint8 or float32, on the CPU; results have the same dtype and may be views.
#pragma once

#include "limbeck/data/files/encoded_image.h"
#include "limbeck/data/transforms/pixels/resize.h"

namespace limbeck::data {

/// A rectangle of pixels. That of a crop may begin above or left of the image and reach beyond it.
using Box = ImageBox;

/// What lies around an image: a value, its outermost pixels, or its mirror image without the border.
enum class PaddingMode : std::uint8_t { constant, edge, reflect };

/// Pixels on each side.
struct Margins {
  std::int64_t left = 0;
  std::int64_t top = 0;
  std::int64_t right = 0;
  std::int64_t bottom = 0;

  bool operator==(const Margins&) const = default;
};

/// The pixels of `box`; zero where it reaches beyond the image.
at::Tensor crop(const at::Tensor& image, const Box& box);

/// The middle of an image, its offsets rounded half to even; reaches beyond images that are smaller (filled with zero).
Box center_box(const Size& image, const Size& size);

at::Tensor flip_horizontally(const at::Tensor& image);
at::Tensor flip_vertically(const at::Tensor& image);

/// The image with margins of at least 0. `fill` is the constant's value in the image's own range, cut to its dtype.
/// Throws InvalidArgument if a mirrored margin is not smaller than the image.
at::Tensor pad(const at::Tensor& image, const Margins& margins, PaddingMode mode, double fill);

}  // namespace limbeck::data
