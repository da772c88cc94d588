// Turning what a camera stored to what it saw.
#pragma once

#include "limbeck/data/files/encoded_image.h"

#include <span>

namespace limbeck::data {

/// The orientation that an EXIF block (TIFF 6.0, section 2: the payload of PNG's chunk eXIf, and of JPEG's APP1 after
/// "Exif\0\0") holds in its first directory. Upright if the block is damaged or holds none: the tag is a hint, and
/// Pillow too goes on without it.
Orientation parse_exif_orientation(std::span<const std::uint8_t> exif);

/// Whether rows become columns.
bool swaps_sides(Orientation orientation);

/// The part of a stored image of `height` x `width` pixels that becomes `box` of the turned one.
ImageBox stored_box(Orientation orientation, ImageBox box, std::int64_t height, std::int64_t width);

/// The pixels, [height, width, C], turned. A view where nothing is to be turned, else a contiguous copy.
at::Tensor turned(const at::Tensor& pixels, Orientation orientation);

}  // namespace limbeck::data
