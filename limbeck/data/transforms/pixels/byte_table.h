// What maps bytes to bytes: a table of 256 for all channels or one a channel. Most operations on tones are one, once
// their table is known.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <span>

namespace limbeck::data {

using ByteTable = std::array<std::uint8_t, 256>;

/// The table of map(byte) for bytes 0..255.
template <class Map>
ByteTable byte_table(const Map& map) {
  ByteTable table;
  for (int byte = 0; byte < 256; ++byte) table[static_cast<std::size_t>(byte)] = map(byte);
  return table;
}

/// Each byte of the image replaced by the table's, or by that of its channel's table. image: uint8 [C, H, W]; one table
/// or C. Returns a new interleaved image.
at::Tensor map_bytes(const at::Tensor& image, const ByteTable& table);
at::Tensor map_bytes(const at::Tensor& image, std::span<const ByteTable> tables);

}  // namespace limbeck::data
