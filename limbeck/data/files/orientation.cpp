#include "limbeck/data/files/orientation.h"

#include <ATen/core/Tensor.h>

#include <optional>
#include <utility>

namespace limbeck::data {
namespace {

constexpr std::size_t kTiffHeaderBytes = 8;
constexpr std::size_t kEntryBytes = 12;
constexpr std::uint32_t kOrientationTag = 0x0112;
constexpr std::uint32_t kByteType = 1, kShortType = 3, kLongType = 4;

// Integers of a TIFF structure in its own byte order; nothing beyond its end.
class TiffBytes {
 public:
  explicit TiffBytes(std::span<const std::uint8_t> bytes) : bytes_(bytes), is_big_endian_(bytes[0] == 'M') {}

  std::optional<std::uint32_t> integer(std::size_t offset, std::size_t num_bytes) const {
    if (offset > bytes_.size() || num_bytes > bytes_.size() - offset) return std::nullopt;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < num_bytes; ++i) {
      value = value << 8 | bytes_[offset + (is_big_endian_ ? i : num_bytes - 1 - i)];
    }
    return value;
  }

 private:
  std::span<const std::uint8_t> bytes_;
  bool is_big_endian_;
};

bool is_tiff(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kTiffHeaderBytes || bytes[0] != bytes[1]) return false;
  return (bytes[0] == 'M' || bytes[0] == 'I') && TiffBytes(bytes).integer(2, 2) == 42U;
}

std::size_t bytes_of_type(std::uint32_t type) {
  if (type == kByteType) return 1;
  if (type == kShortType) return 2;
  return type == kLongType ? 4 : 0;
}

// The value of the directory's entry at `entry`, if it is an orientation.
std::optional<std::uint32_t> orientation_at(const TiffBytes& tiff, std::size_t entry) {
  if (tiff.integer(entry, 2) != kOrientationTag) return std::nullopt;
  const auto type = tiff.integer(entry + 2, 2), count = tiff.integer(entry + 4, 4);
  const std::size_t num_bytes = type ? bytes_of_type(*type) : 0;
  if (num_bytes == 0 || count != 1U) return std::nullopt;
  return tiff.integer(entry + 8, num_bytes);
}

bool reverses_rows(Orientation orientation) {
  return orientation == Orientation::rotated_180 || orientation == Orientation::flipped ||
         orientation == Orientation::rotated_clockwise || orientation == Orientation::transversed;
}

bool reverses_columns(Orientation orientation) {
  return orientation == Orientation::mirrored || orientation == Orientation::rotated_180 ||
         orientation == Orientation::transversed || orientation == Orientation::rotated_counterclockwise;
}

}  // namespace

Orientation parse_exif_orientation(std::span<const std::uint8_t> exif) {
  if (!is_tiff(exif)) return Orientation::upright;
  const TiffBytes tiff(exif);
  const std::size_t directory = *tiff.integer(4, 4);
  const std::uint32_t num_entries = tiff.integer(directory, 2).value_or(0);
  for (std::uint32_t i = 0; i < num_entries; ++i) {
    const auto value = orientation_at(tiff, directory + 2 + i * kEntryBytes);
    if (value && *value >= 1 && *value <= 8) return static_cast<Orientation>(*value);
  }
  return Orientation::upright;
}

bool swaps_sides(Orientation orientation) { return orientation >= Orientation::transposed; }

ImageBox stored_box(Orientation orientation, ImageBox box, std::int64_t height, std::int64_t width) {
  if (swaps_sides(orientation)) {
    std::swap(box.top, box.left);
    std::swap(box.height, box.width);
  }
  if (reverses_rows(orientation)) box.top = height - box.top - box.height;
  if (reverses_columns(orientation)) box.left = width - box.left - box.width;
  return box;
}

at::Tensor turned(const at::Tensor& pixels, Orientation orientation) {
  if (orientation == Orientation::upright) return pixels;
  at::Tensor result = pixels;
  if (reverses_rows(orientation)) result = result.flip(0);
  if (reverses_columns(orientation)) result = result.flip(1);
  if (swaps_sides(orientation)) result = result.transpose(0, 1);
  return result.contiguous();
}

}  // namespace limbeck::data
