#include "limbeck/data/transforms/pixels/color.h"

#include "limbeck/core/error.h"
#include "limbeck/data/transforms/pixels/byte_table.h"
#include "limbeck/data/transforms/pixels/pixels.h"

#include <algorithm>
#include <cmath>

namespace limbeck::data {
namespace {

void check_factor(double factor, const char* operation) {
  LIMBECK_CHECK(std::isfinite(factor) && factor >= 0, "[data] {}: the factor must not be negative, got {}.", operation,
                factor);
}

// a + b * c rounded once to float, as ATen's vector kernels compute `add` with `alpha`: the product of two floats is
// exact in double.
float multiply_add(float a, float b, float c) {
  return static_cast<float>(static_cast<double>(a) + static_cast<double>(b) * static_cast<double>(c));
}

std::uint8_t cut_to_byte(float value) { return static_cast<std::uint8_t>(std::clamp(value, 0.0F, 255.0F)); }

// Coefficients of torchvision, which add up to 0.9999.
std::uint8_t luma(const std::uint8_t* rgb) {
  const float red = static_cast<float>(rgb[0]) * 0.2989F;
  return static_cast<std::uint8_t>(multiply_add(multiply_add(red, rgb[1], 0.587F), rgb[2], 0.114F));
}

double mean_luma(const BytePixels& pixels) {
  std::uint64_t sum = 0;
  for (std::int64_t y = 0; y < pixels.height; ++y) {
    const std::uint8_t* pixel = pixels.row(y);
    for (std::int64_t x = 0; x < pixels.width; ++x, pixel += pixels.channels) {
      sum += pixels.channels == 3 ? luma(pixel) : *pixel;
    }
  }
  return static_cast<double>(sum) / static_cast<double>(pixels.height * pixels.width);
}

// ratio * first + (1 - ratio) * second.
std::uint8_t blend(float first, float second, float ratio, float rest) {
  return cut_to_byte(multiply_add(first * ratio, second, rest));
}

// Calls transform(in, out) for every pixel of an RGB image, and returns what it wrote.
template <class Transform>
at::Tensor map_rgb(const at::Tensor& image, const Transform& transform) {
  const at::Tensor source = interleaved(image);
  const BytePixels pixels = pixels_of(source);
  at::Tensor result = empty_interleaved(shape_of(image));
  auto* out = result.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t y = 0; y < pixels.height; ++y) {
    const std::uint8_t* in = pixels.row(y);
    for (std::int64_t x = 0; x < pixels.width; ++x, in += 3, out += 3) transform(in, out);
  }
  return result;
}

struct Hsv {
  float hue, saturation, value;  // 0 to 1
};

Hsv to_hsv(float red, float green, float blue) {
  const float highest = std::max({red, green, blue}), lowest = std::min({red, green, blue});
  const float range = highest - lowest;
  if (range == 0) return {0, 0, highest};
  const float r = (highest - red) / range, g = (highest - green) / range, b = (highest - blue) / range;
  const float sixths = highest == red ? b - g : highest == green ? 2.0F + r - b : 4.0F + g - r;
  return {std::fmod(sixths * (1.0F / 6.0F) + 1.0F, 1.0F), range / highest, highest};
}

// The bytes of a colour; 255.999 is torchvision's factor from 0..1 to bytes.
void write_rgb(const Hsv& hsv, std::uint8_t* out) {
  const auto byte = [](float value) { return static_cast<std::uint8_t>(std::clamp(value, 0.0F, 1.0F) * 255.999F); };
  const float sixths = hsv.hue * 6.0F, sector = std::floor(sixths), part = (sixths - sector) * hsv.saturation;
  const std::uint8_t v = byte(hsv.value), p = byte((1.0F - hsv.saturation) * hsv.value);
  const std::uint8_t q = byte((1.0F - part) * hsv.value), t = byte((part + (1.0F - hsv.saturation)) * hsv.value);
  const std::uint8_t red[] = {v, q, p, p, t, v}, green[] = {t, v, v, q, p, p}, blue[] = {p, p, t, v, v, q};
  const int index = static_cast<int>(sector) % 6;
  out[0] = red[index];
  out[1] = green[index];
  out[2] = blue[index];
}

}  // namespace

at::Tensor adjust_brightness(const at::Tensor& image, double factor) {
  check_colour_image(image, "brightness");
  check_factor(factor, "brightness");
  const auto ratio = static_cast<float>(factor);
  return map_bytes(image, byte_table([=](int byte) { return cut_to_byte(static_cast<float>(byte) * ratio); }));
}

at::Tensor adjust_contrast(const at::Tensor& image, double factor) {
  check_colour_image(image, "contrast");
  check_factor(factor, "contrast");
  const at::Tensor source = interleaved(image);
  const auto mean = static_cast<float>(mean_luma(pixels_of(source)));
  const auto ratio = static_cast<float>(factor), rest = static_cast<float>(1 - factor);
  return map_bytes(source, byte_table([=](int byte) { return blend(static_cast<float>(byte), mean, ratio, rest); }));
}

at::Tensor adjust_saturation(const at::Tensor& image, double factor) {
  check_colour_image(image, "saturation");
  check_factor(factor, "saturation");
  if (image.size(0) == 1) return image;
  const auto ratio = static_cast<float>(factor), rest = static_cast<float>(1 - factor);
  return map_rgb(image, [=](const std::uint8_t* in, std::uint8_t* out) {
    const float gray = luma(in);
    for (int c = 0; c < 3; ++c) out[c] = blend(in[c], gray, ratio, rest);
  });
}

at::Tensor adjust_hue(const at::Tensor& image, double factor) {
  check_colour_image(image, "hue");
  LIMBECK_CHECK(factor >= -0.5 && factor <= 0.5, "[data] hue: the factor must lie in -0.5..0.5, got {}.", factor);
  if (image.size(0) == 1) return image;
  const auto turn = static_cast<float>(factor);
  return map_rgb(image, [=](const std::uint8_t* in, std::uint8_t* out) {
    constexpr float kScale = 1.0F / 255.0F;
    Hsv hsv = to_hsv(static_cast<float>(in[0]) * kScale, static_cast<float>(in[1]) * kScale,
                     static_cast<float>(in[2]) * kScale);
    const float hue = hsv.hue + turn;
    hsv.hue = hue - std::floor(hue);
    write_rgb(hsv, out);
  });
}

at::Tensor to_grayscale(const at::Tensor& image, std::int64_t num_channels) {
  check_colour_image(image, "grayscale");
  LIMBECK_CHECK(num_channels == 1 || num_channels == 3, "[data] grayscale gives 1 or 3 channels, got {}.",
                num_channels);
  if (image.size(0) == num_channels && num_channels == 1) return image;
  const at::Tensor source = interleaved(image);
  const BytePixels pixels = pixels_of(source);
  at::Tensor result = empty_interleaved({num_channels, pixels.height, pixels.width});
  auto* out = result.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t y = 0; y < pixels.height; ++y) {
    const std::uint8_t* in = pixels.row(y);
    for (std::int64_t x = 0; x < pixels.width; ++x, in += pixels.channels) {
      out = std::fill_n(out, num_channels, pixels.channels == 3 ? luma(in) : *in);
    }
  }
  return result;
}

}  // namespace limbeck::data
