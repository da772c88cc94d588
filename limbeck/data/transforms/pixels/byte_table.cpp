#include "limbeck/data/transforms/pixels/byte_table.h"

#include "limbeck/core/error.h"
#include "limbeck/data/transforms/pixels/pixels.h"

namespace limbeck::data {

at::Tensor map_bytes(const at::Tensor& image, const ByteTable& table) {
  const at::Tensor source = interleaved(image);
  const BytePixels pixels = pixels_of(source);
  at::Tensor result = empty_interleaved(shape_of(image));
  auto* out = result.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t y = 0; y < pixels.height; ++y) {
    const std::uint8_t* in = pixels.row(y);
    for (std::int64_t i = 0; i < pixels.row_bytes(); ++i) *out++ = table[in[i]];
  }
  return result;
}

at::Tensor map_bytes(const at::Tensor& image, std::span<const ByteTable> tables) {
  LIMBECK_ASSERT(tables.size() == static_cast<std::size_t>(image.size(0)), "[data] {} tables for {} channels",
                 tables.size(), image.size(0));
  const at::Tensor source = interleaved(image);
  const BytePixels pixels = pixels_of(source);
  at::Tensor result = empty_interleaved(shape_of(image));
  auto* out = result.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t y = 0; y < pixels.height; ++y) {
    const std::uint8_t* in = pixels.row(y);
    for (std::int64_t x = 0; x < pixels.width; ++x) {
      for (const ByteTable& table : tables) *out++ = table[*in++];
    }
  }
  return result;
}

}  // namespace limbeck::data
