// Bytes of an image as the transforms go through them: interleaved, as decoders write them and ATen resizes them. A
// tensor [C, H, W] is interleaved if the channels of a pixel lie side by side and the pixels of a row too; rows may be
// further apart, so that a crop is a view.
#pragma once

#include "limbeck/data/dataset.h"

namespace limbeck::data {

/// Channel c of pixel (y, x) is row(y)[x * channels + c].
struct BytePixels {
  const std::uint8_t* bytes = nullptr;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::int64_t row_stride = 0;  ///< bytes from one row to the next

  const std::uint8_t* row(std::int64_t y) const { return bytes + y * row_stride; }
  std::int64_t row_bytes() const { return width * channels; }
};

/// Throws InvalidArgument, naming the operation, unless the image is a uint8 tensor [C, H, W] on the CPU with at least
/// one pixel.
void check_byte_image(const at::Tensor& image, const char* operation);

/// As check_byte_image, and the channels must be 1 or 3: gray or RGB.
void check_colour_image(const at::Tensor& image, const char* operation);

/// An uninitialised interleaved image [C, H, W] without gaps between its rows.
at::Tensor empty_interleaved(const ImageShape& shape, at::ScalarType dtype = at::kByte);

/// The image itself where it is interleaved, else an interleaved copy. image: [C, H, W] of any dtype.
at::Tensor interleaved(const at::Tensor& image);

/// As interleaved, without gaps between the rows.
at::Tensor packed(const at::Tensor& image);

/// The bytes of an interleaved image; valid as long as the tensor.
BytePixels pixels_of(const at::Tensor& image);

/// Channels, height and width of a tensor [C, H, W].
ImageShape shape_of(const at::Tensor& image);

}  // namespace limbeck::data
