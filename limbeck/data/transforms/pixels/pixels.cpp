#include "limbeck/data/transforms/pixels/pixels.h"

#include "limbeck/core/error.h"

#include <ATen/ops/empty.h>

namespace limbeck::data {
namespace {

/// Where an axis has one element, its stride says nothing.
bool is_interleaved(const at::Tensor& image) {
  const std::int64_t channels = image.size(0);
  return (image.size(2) == 1 || image.stride(2) == channels) && (channels == 1 || image.stride(0) == 1) &&
         (image.size(1) == 1 || image.stride(1) >= image.size(2) * channels);
}

}  // namespace

void check_byte_image(const at::Tensor& image, const char* operation) {
  LIMBECK_CHECK(image.defined() && image.dim() == 3 && image.device().is_cpu() && image.numel() > 0,
                "[data] {}: an image must be a tensor [C, H, W] on the CPU with at least one pixel.", operation);
  LIMBECK_CHECK(image.scalar_type() == at::kByte,
                "[data] {} works on uint8 images, got {}. Put it before normalize, and give datasets of bytes.",
                operation, c10::toString(image.scalar_type()));
}

void check_colour_image(const at::Tensor& image, const char* operation) {
  check_byte_image(image, operation);
  LIMBECK_CHECK(image.size(0) == 1 || image.size(0) == 3, "[data] {} works on images with 1 or 3 channels, got {}.",
                operation, image.size(0));
}

at::Tensor empty_interleaved(const ImageShape& shape, at::ScalarType dtype) {
  return at::empty({shape.height, shape.width, shape.channels}, dtype).permute({2, 0, 1});
}

at::Tensor interleaved(const at::Tensor& image) { return is_interleaved(image) ? image : packed(image); }

at::Tensor packed(const at::Tensor& image) {
  const bool is_packed = image.size(1) == 1 || image.stride(1) == image.size(2) * image.size(0);
  if (is_interleaved(image) && is_packed) return image;
  return image.permute({1, 2, 0}).contiguous().permute({2, 0, 1});
}

BytePixels pixels_of(const at::Tensor& image) {
  LIMBECK_ASSERT(image.scalar_type() == at::kByte && is_interleaved(image), "[data] bytes of an image that has none");
  return {.bytes = image.const_data_ptr<std::uint8_t>(),
          .height = image.size(1),
          .width = image.size(2),
          .channels = image.size(0),
          .row_stride = image.stride(1)};
}

ImageShape shape_of(const at::Tensor& image) { return {image.size(0), image.size(1), image.size(2)}; }

}  // namespace limbeck::data
