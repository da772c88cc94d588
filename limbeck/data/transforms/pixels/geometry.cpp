#include "limbeck/data/transforms/pixels/geometry.h"

#include "limbeck/core/error.h"
#include "limbeck/data/transforms/pixels/pixels.h"

#include <algorithm>
#include <cmath>

namespace limbeck::data {
namespace {

// Which pixel of 0..size-1 is shown at `index`, which may lie outside.
std::int64_t source_index(std::int64_t index, std::int64_t size, PaddingMode mode) {
  if (index >= 0 && index < size) return index;
  if (mode == PaddingMode::edge) return std::clamp<std::int64_t>(index, 0, size - 1);
  return index < 0 ? -index : 2 * (size - 1) - index;
}

std::vector<std::int64_t> source_indices(std::int64_t before, std::int64_t size, std::int64_t after, PaddingMode mode) {
  std::vector<std::int64_t> indices;
  for (std::int64_t i = -before; i < size + after; ++i) indices.push_back(source_index(i, size, mode));
  return indices;
}

template <class Pixel>
void copy_padded(const at::Tensor& image, const Margins& margins, PaddingMode mode, at::Tensor& out) {
  const std::int64_t channels = image.size(0);
  const auto rows = source_indices(margins.top, image.size(1), margins.bottom, mode);
  const auto columns = source_indices(margins.left, image.size(2), margins.right, mode);
  const Pixel* from = image.const_data_ptr<Pixel>();
  Pixel* to = out.mutable_data_ptr<Pixel>();
  for (const std::int64_t y : rows) {
    for (const std::int64_t x : columns) to = std::copy_n(from + y * image.stride(1) + x * channels, channels, to);
  }
}

at::Tensor pad_with_constant(const at::Tensor& image, const Margins& margins, double fill) {
  const ImageShape shape{image.size(0), image.size(1) + margins.top + margins.bottom,
                         image.size(2) + margins.left + margins.right};
  at::Tensor out = empty_interleaved(shape, image.scalar_type());
  out.fill_(fill);
  out.narrow(1, margins.top, image.size(1)).narrow(2, margins.left, image.size(2)).copy_(image);
  return out;
}

}  // namespace

at::Tensor crop(const at::Tensor& image, const Box& box) {
  LIMBECK_CHECK(box.height >= 1 && box.width >= 1, "[data] crop: a box must have at least one pixel, got {}x{}.",
                box.height, box.width);
  const std::int64_t top = std::clamp<std::int64_t>(box.top, 0, image.size(1));
  const std::int64_t left = std::clamp<std::int64_t>(box.left, 0, image.size(2));
  const std::int64_t bottom = std::clamp<std::int64_t>(box.top + box.height, top, image.size(1));
  const std::int64_t right = std::clamp<std::int64_t>(box.left + box.width, left, image.size(2));
  at::Tensor inside = image.narrow(1, top, bottom - top).narrow(2, left, right - left);
  if (bottom - top == box.height && right - left == box.width) return inside;
  if (inside.numel() == 0) {
    at::Tensor nothing = empty_interleaved({image.size(0), box.height, box.width}, image.scalar_type());
    return nothing.zero_();
  }
  return pad_with_constant(inside,
                           {.left = left - box.left,
                            .top = top - box.top,
                            .right = box.left + box.width - right,
                            .bottom = box.top + box.height - bottom},
                           0);
}

Box center_box(const Size& image, const Size& size) {
  // Python's int(round(x / 2.0)) rounds half to even; an image that is smaller is padded, the odd pixel at its end.
  const auto offset = [](std::int64_t whole, std::int64_t part) {
    if (part > whole) return -((part - whole) / 2);
    return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(whole - part) / 2.0));
  };
  return {.top = offset(image.height, size.height),
          .left = offset(image.width, size.width),
          .height = size.height,
          .width = size.width};
}

at::Tensor flip_horizontally(const at::Tensor& image) { return image.flip(2); }

at::Tensor flip_vertically(const at::Tensor& image) { return image.flip(1); }

at::Tensor pad(const at::Tensor& image, const Margins& margins, PaddingMode mode, double fill) {
  LIMBECK_CHECK(margins.left >= 0 && margins.top >= 0 && margins.right >= 0 && margins.bottom >= 0,
                "[data] pad: margins must not be negative, got {}, {}, {}, {}.", margins.left, margins.top,
                margins.right, margins.bottom);
  if (margins == Margins{}) return image;
  if (mode == PaddingMode::constant) return pad_with_constant(image, margins, fill);
  LIMBECK_CHECK(mode != PaddingMode::reflect || (std::max(margins.top, margins.bottom) < image.size(1) &&
                                                 std::max(margins.left, margins.right) < image.size(2)),
                "[data] pad: mirrored margins must be smaller than the image of {}x{}, got {}, {}, {}, {}. Use edge.",
                image.size(1), image.size(2), margins.left, margins.top, margins.right, margins.bottom);
  const at::Tensor source = interleaved(image);
  at::Tensor out = empty_interleaved(
      {image.size(0), image.size(1) + margins.top + margins.bottom, image.size(2) + margins.left + margins.right},
      image.scalar_type());
  if (image.scalar_type() == at::kByte) {
    copy_padded<std::uint8_t>(source, margins, mode, out);
  } else {
    copy_padded<float>(source, margins, mode, out);
  }
  return out;
}

}  // namespace limbeck::data
