#include "limbeck/data/transforms/pixels/resize.h"

#include "limbeck/core/error.h"
#include "limbeck/data/transforms/pixels/pixels.h"

#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <algorithm>

namespace limbeck::data {
namespace {

void check_size(const Size& size) {
  const auto is_side = [](std::int64_t side) { return side >= 1 && side <= kMaxSide; };
  LIMBECK_CHECK(is_side(size.height) && is_side(size.width),
                "[data] resize: both sides must be 1 to {} pixels, got {}x{}.", kMaxSide, size.height, size.width);
}

// [1, C, H, W] whose strides say channels_last also to those who look at the batch's: else ATen answers with a
// contiguous tensor and repacks it.
at::Tensor as_batch(const at::Tensor& image) {
  const std::int64_t channels = image.size(0), height = image.size(1), width = image.size(2);
  return image.as_strided({1, channels, height, width}, {height * width * channels, 1, width * channels, channels});
}

at::Tensor interpolate(const at::Tensor& batch, const Size& size, Interpolation interpolation) {
  const std::vector<std::int64_t> sizes{size.height, size.width};
  switch (interpolation) {
    case Interpolation::nearest:
      return at::upsample_nearest2d(batch, sizes);
    case Interpolation::bilinear:
      return at::_upsample_bilinear2d_aa(batch, sizes, /*align_corners=*/false);
    case Interpolation::bicubic:
      return at::_upsample_bicubic2d_aa(batch, sizes, /*align_corners=*/false);
  }
  LIMBECK_ASSERT(false, "[data] interpolation {}", static_cast<int>(interpolation));
}

}  // namespace

at::Tensor resize(const at::Tensor& image, const Size& size, Interpolation interpolation) {
  LIMBECK_CHECK(image.defined() && image.dim() == 3 && image.device().is_cpu() && image.numel() > 0 &&
                    (image.scalar_type() == at::kByte || image.scalar_type() == at::kFloat),
                "[data] resize needs a uint8 or float32 image [C, H, W] on the CPU with at least one pixel.");
  check_size(size);
  if (image.size(1) == size.height && image.size(2) == size.width) return image;
  return interpolate(as_batch(packed(image)), size, interpolation).squeeze(0);
}

Size resized_size(const Size& image, const std::vector<std::int64_t>& size, std::int64_t max_size) {
  if (size.size() == 2) return {size[0], size[1]};
  LIMBECK_CHECK(size.size() == 1, "[data] resize: size must be one number (the shorter side) or two, got {}.",
                size.size());
  const std::int64_t shorter = std::min(image.height, image.width), longer = std::max(image.height, image.width);
  // The quotients are torchvision's, in double precision and cut.
  const auto scaled = [](std::int64_t a, std::int64_t b, std::int64_t c) {
    return static_cast<std::int64_t>(static_cast<double>(a * b) / static_cast<double>(c));
  };
  std::int64_t new_shorter = size[0], new_longer = scaled(size[0], longer, shorter);
  if (max_size > 0 && new_longer > max_size) {
    new_shorter = scaled(max_size, new_shorter, new_longer);
    new_longer = max_size;
  }
  const Size result = image.width <= image.height ? Size{new_longer, new_shorter} : Size{new_shorter, new_longer};
  check_size(result);
  return result;
}

}  // namespace limbeck::data
