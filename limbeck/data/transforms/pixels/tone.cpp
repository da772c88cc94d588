#include "limbeck/data/transforms/pixels/tone.h"

#include "limbeck/core/error.h"
#include "limbeck/data/transforms/pixels/byte_table.h"
#include "limbeck/data/transforms/pixels/pixels.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace limbeck::data {
namespace {

using Histogram = std::array<std::int64_t, 256>;

std::vector<Histogram> histograms(const BytePixels& pixels) {
  std::vector<Histogram> counts(static_cast<std::size_t>(pixels.channels), Histogram{});
  for (std::int64_t y = 0; y < pixels.height; ++y) {
    const std::uint8_t* in = pixels.row(y);
    for (std::int64_t x = 0; x < pixels.width; ++x) {
      for (Histogram& channel : counts) ++channel[*in++];
    }
  }
  return counts;
}

ByteTable stretching_table(const Histogram& counts) {
  const auto is_used = [](std::int64_t count) { return count > 0; };
  const auto lowest = std::find_if(counts.begin(), counts.end(), is_used) - counts.begin();
  const auto highest = 255 - (std::find_if(counts.rbegin(), counts.rend(), is_used) - counts.rbegin());
  if (lowest == highest) return byte_table([](int byte) { return static_cast<std::uint8_t>(byte); });
  const float scale = static_cast<float>(highest - lowest) * (1.0F / 255.0F);
  return byte_table([=](int byte) {
    return static_cast<std::uint8_t>(std::clamp(static_cast<float>(byte - lowest) / scale, 0.0F, 255.0F));
  });
}

// Pillow's: the sum of the counts below a byte, in steps of a 255th of the pixels that do not have the highest value.
ByteTable equalizing_table(const Histogram& counts) {
  std::int64_t total = 0, last = 0;
  for (const std::int64_t count : counts) {
    total += count;
    if (count > 0) last = count;
  }
  const std::int64_t step = (total - last) / 255;
  if (step == 0) return byte_table([](int byte) { return static_cast<std::uint8_t>(byte); });
  ByteTable table;
  std::int64_t below = step / 2;
  for (std::size_t byte = 0; byte < table.size(); ++byte) {
    table[byte] = static_cast<std::uint8_t>(std::min<std::int64_t>(below / step, 255));
    below += counts[byte];
  }
  return table;
}

template <class MakeTable>
at::Tensor map_by_histogram(const at::Tensor& image, const MakeTable& make_table) {
  const at::Tensor source = interleaved(image);
  std::vector<ByteTable> tables;
  for (const Histogram& counts : histograms(pixels_of(source))) tables.push_back(make_table(counts));
  return map_bytes(source, tables);
}

}  // namespace

at::Tensor posterize(const at::Tensor& image, int bits) {
  check_colour_image(image, "posterize");
  LIMBECK_CHECK(bits >= 0 && bits <= 8, "[data] posterize keeps 0 to 8 bits, got {}.", bits);
  if (bits == 8) return image;
  const int mask = 0xff << (8 - bits);
  return map_bytes(image, byte_table([=](int byte) { return static_cast<std::uint8_t>(byte & mask); }));
}

at::Tensor solarize(const at::Tensor& image, double threshold) {
  check_colour_image(image, "solarize");
  LIMBECK_CHECK(threshold <= 255, "[data] solarize: the threshold must be at most 255, got {}.", threshold);
  // A comparison of bytes with a number takes place in float32.
  const auto limit = static_cast<float>(threshold);
  return map_bytes(image, byte_table([=](int byte) {
                     return static_cast<std::uint8_t>(static_cast<float>(byte) >= limit ? 255 - byte : byte);
                   }));
}

at::Tensor autocontrast(const at::Tensor& image) {
  check_colour_image(image, "autocontrast");
  return map_by_histogram(image, stretching_table);
}

at::Tensor equalize(const at::Tensor& image) {
  check_colour_image(image, "equalize");
  return map_by_histogram(image, equalizing_table);
}

at::Tensor invert(const at::Tensor& image) {
  check_colour_image(image, "invert");
  return map_bytes(image, byte_table([](int byte) { return static_cast<std::uint8_t>(255 - byte); }));
}

at::Tensor adjust_sharpness(const at::Tensor& image, double factor) {
  check_colour_image(image, "sharpness");
  LIMBECK_CHECK(std::isfinite(factor) && factor >= 0, "[data] sharpness: the factor must not be negative, got {}.",
                factor);
  if (image.size(1) <= 2 || image.size(2) <= 2) return image;
  const at::Tensor source = interleaved(image);
  const BytePixels pixels = pixels_of(source);
  at::Tensor result = empty_interleaved(shape_of(image));
  result.copy_(source);
  auto* out = result.mutable_data_ptr<std::uint8_t>();
  const std::int64_t step = pixels.channels, row_bytes = pixels.row_bytes();
  const float rest = static_cast<float>(1 - factor);
  for (std::int64_t y = 1; y + 1 < pixels.height; ++y) {
    const std::uint8_t *above = pixels.row(y - 1), *here = pixels.row(y), *below = pixels.row(y + 1);
    for (std::int64_t i = step; i < row_bytes - step; ++i) {
      const int sum = above[i - step] + above[i] + above[i + step] + here[i - step] + 5 * here[i] + here[i + step] +
                      below[i - step] + below[i] + below[i + step];
      const int smooth = (2 * sum + 13) / 26;  // sum / 13, rounded; 13 is odd, so there are no ties
      const double value = here[i] + static_cast<double>(rest) * (smooth - here[i]);
      out[y * row_bytes + i] = static_cast<std::uint8_t>(std::clamp(static_cast<float>(value), 0.0F, 255.0F));
    }
  }
  return result;
}

}  // namespace limbeck::data
