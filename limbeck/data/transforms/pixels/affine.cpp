#include "limbeck/data/transforms/pixels/affine.h"

#include "limbeck/data/transforms/pixels/pixels.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace limbeck::data {
namespace {

// Coordinates of pixel centres from the middle of `size` pixels: -(size-1)/2 to (size-1)/2.
float from_middle(std::int64_t index, std::int64_t size) {
  return static_cast<float>(index) - static_cast<float>(size - 1) * 0.5F;
}

// A coordinate's share in grid_sample's units (-1 to 1 over an axis of `size` pixels).
struct GridRow {
  float x, y, constant;

  GridRow(double x_factor, double y_factor, double shift, std::int64_t size)
      : x(static_cast<float>(x_factor) / (0.5F * static_cast<float>(size))),
        y(static_cast<float>(y_factor) / (0.5F * static_cast<float>(size))),
        constant(static_cast<float>(shift) / (0.5F * static_cast<float>(size))) {}
};

// Rounded half to even, as grid_sample rounds; |value| < 2^22. At 1.5 * 2^23 a float has no fraction: the sum rounds. A
// call of nearbyint would cost more than all the rest.
std::int64_t round_to_even(float value) {
  constexpr float kNoFraction = 12'582'912.0F;
  return static_cast<std::int64_t>((value + kNoFraction) - kNoFraction);
}

// The pixel at grid coordinate `place`; outside 0..size-1 for none.
std::int64_t nearest_pixel(float place, std::int64_t size) {
  return round_to_even((place + 1.0F) * (static_cast<float>(size) * 0.5F) - 0.5F);
}

}  // namespace

AffineMap shear_x_map(const Size& image, double tangent) {
  return {1, tangent, tangent * static_cast<double>(image.height) * 0.5, 0, 1, 0};
}

AffineMap shear_y_map(const Size& image, double tangent) {
  return {1, 0, 0, tangent, 1, tangent * static_cast<double>(image.width) * 0.5};
}

AffineMap translation_map(std::int64_t right, std::int64_t down) {
  return {1, 0, -static_cast<double>(right), 0, 1, -static_cast<double>(down)};
}

AffineMap rotation_map(double degrees) {
  const double angle = degrees * std::numbers::pi / 180;
  return {std::cos(angle), -std::sin(angle), 0, std::sin(angle), std::cos(angle), 0};
}

at::Tensor warp(const at::Tensor& image, const AffineMap& map) {
  check_byte_image(image, "affine");
  const at::Tensor source = interleaved(image);
  const BytePixels pixels = pixels_of(source);
  const GridRow to_x(map[0], map[1], map[2], pixels.width), to_y(map[3], map[4], map[5], pixels.height);
  at::Tensor result = empty_interleaved(shape_of(image));
  result.zero_();
  auto* out = result.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t y = 0; y < pixels.height; ++y) {
    const float row = from_middle(y, pixels.height);
    for (std::int64_t x = 0; x < pixels.width; ++x, out += pixels.channels) {
      const float column = from_middle(x, pixels.width);
      const std::int64_t from_x = nearest_pixel(column * to_x.x + row * to_x.y + to_x.constant, pixels.width);
      const std::int64_t from_y = nearest_pixel(column * to_y.x + row * to_y.y + to_y.constant, pixels.height);
      if (from_x < 0 || from_x >= pixels.width || from_y < 0 || from_y >= pixels.height) continue;
      std::copy_n(pixels.row(from_y) + from_x * pixels.channels, pixels.channels, out);
    }
  }
  return result;
}

}  // namespace limbeck::data
