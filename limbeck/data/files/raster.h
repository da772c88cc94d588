// What the decoders of image files give, each before the orientation of its file is applied.
#pragma once

#include "limbeck/data/files/encoded_image.h"

namespace limbeck::data {

/// What a file says of its image before the pixels: sides as the file stores them, and how they are to be turned.
struct ImageHeader {
  std::int64_t height = 0;
  std::int64_t width = 0;
  Orientation orientation = Orientation::upright;
};

/// Throw IoError if the header is damaged or the image beyond the limit.
ImageHeader read_png_header(std::span<const std::uint8_t> file, const std::string& name, const ImageLimits& limits);
ImageHeader read_jpeg_header(std::span<const std::uint8_t> file, const std::string& name, const ImageLimits& limits);

/// The whole image: uint8 [height, width, C]. C is 3 if colours are asked for, else 1 or 3, as the file has it.
at::Tensor decode_png(std::span<const std::uint8_t> file, const std::string& name, Channels channels,
                      const ImageLimits& limits);

/// A box of the image scaled down by 1, 2, 4 or 8, its edges rounded to pixels of the scaled one: uint8
/// [height, width, C], C as for PNG, maybe a view of wider rows. The box lies in the image.
at::Tensor decode_jpeg(std::span<const std::uint8_t> file, const std::string& name, Channels channels,
                       const ImageBox& box, int downscale, const ImageLimits& limits);

/// Throws IoError if an image of these sides is beyond the limit.
void check_sides(std::uint64_t height, std::uint64_t width, const std::string& name, const ImageLimits& limits);

}  // namespace limbeck::data
