// What the decoders of image files give: rows of interleaved bytes.
#pragma once

#include "limbeck/data/image_file.h"

#include <vector>

namespace limbeck::data {

/// bytes: [height, width, channels], channels 1 (gray) or 3 (RGB).
struct Raster {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::vector<std::uint8_t> bytes;
};

/// Errors as decode_image.
Raster decode_png(std::span<const std::uint8_t> file, const std::string& name, const ImageLimits& limits);
Raster decode_jpeg(std::span<const std::uint8_t> file, const std::string& name, const ImageLimits& limits);

/// Throws IoError if an image of these sides is beyond the limit.
void check_sides(std::uint64_t height, std::uint64_t width, const std::string& name, const ImageLimits& limits);

}  // namespace limbeck::data
