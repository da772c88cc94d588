// Shearing, moving and turning an image, as torchvision's v2.functional affine and rotate do it on uint8 tensors with
// the nearest pixel and a fill of zero: the coordinates in float32, relative to the image's middle.
#pragma once

#include <array>

#include "limbeck/data/transforms/pixels/geometry.h"

namespace limbeck::data {

/// Where an output pixel comes from, both measured from the image's middle: x' = m[0] x + m[1] y + m[2],
/// y' = m[3] x + m[4] y + m[5].
using AffineMap = std::array<double, 6>;

/// Shears that keep the upper left corner, by tan of the angle.
AffineMap shear_x_map(const Size& image, double tangent);
AffineMap shear_y_map(const Size& image, double tangent);
/// Moves by whole pixels to the right and down.
AffineMap translation_map(std::int64_t right, std::int64_t down);
/// Turns counter-clockwise about the middle, by degrees.
AffineMap rotation_map(double degrees);

/// The nearest pixel of where the map points; zero outside. image: uint8 [C, H, W]. Returns a new interleaved image.
at::Tensor warp(const at::Tensor& image, const AffineMap& map);

}  // namespace limbeck::data
