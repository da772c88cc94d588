// PNG and JPEG files as images, for inference on files and folders. A file is untrusted: its size and its dimensions
// are checked before anything is decoded. Pixels are those that Pillow gives after ImageOps.exif_transpose: no gamma,
// the orientation of the EXIF block applied. encoded_image.h decodes a part of a file.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>

namespace limbeck::data {

/// What the readers accept.
struct ImageLimits {
  std::uint64_t max_file_bytes = std::uint64_t{256} << 20;
  std::int64_t max_pixels = 64'000'000;  ///< height times width
};

enum class Channels { gray = 1, rgb = 3 };

/// Decodes a PNG or JPEG file; `name` is what messages call it. Returns uint8 [C, H, W] with C as asked for: colours
/// become gray by ITU-R 601, gray is repeated, CMYK is taken as Adobe stores it, transparency is dropped, 16 bits are
/// cut to the upper 8 (of gray images Pillow saturates them instead, which leaves white). Throws IoError, naming the
/// file, if it is neither PNG nor JPEG, damaged, truncated or beyond a limit. Allocates at most about 12 bytes a pixel
/// of limits.max_pixels.
at::Tensor decode_image(std::span<const std::uint8_t> file, const std::string& name, Channels channels,
                        const ImageLimits& limits = {});

/// Reads the file at `path`; errors as decode_image, and IoError if it cannot be read.
at::Tensor read_image(const std::string& path, Channels channels, const ImageLimits& limits = {});

}  // namespace limbeck::data
