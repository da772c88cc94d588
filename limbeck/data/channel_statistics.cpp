#include "limbeck/core/error.h"
#include "limbeck/data/transforms.h"

#include <cmath>
#include <type_traits>

namespace limbeck::data {
namespace {

// Sums over one channel. Bytes are summed as integers: exact up to 2^48 pixels.
template <class Pixel>
struct ChannelSums {
  using Total = std::conditional_t<std::is_same_v<Pixel, std::uint8_t>, std::uint64_t, double>;
  Total sum = 0;
  Total sum_of_squares = 0;
};

template <class Pixel>
void add_image(const Pixel* pixels, std::int64_t plane, std::vector<ChannelSums<Pixel>>& channels) {
  using Total = typename ChannelSums<Pixel>::Total;
  for (auto& channel : channels) {
    for (std::int64_t i = 0; i < plane; ++i) {
      const auto value = static_cast<Total>(*pixels++);
      channel.sum += value;
      channel.sum_of_squares += value * value;
    }
  }
}

// From the sums over `num_pixels` pixels a channel.
template <class Pixel>
Normalize to_normalize(const Dataset& dataset, const std::vector<ChannelSums<Pixel>>& channels,
                       std::int64_t num_pixels) {
  const auto count = static_cast<double>(num_pixels);
  const double scale = std::is_same_v<Pixel, std::uint8_t> ? 255 : 1;
  Normalize normalize;
  for (const auto& channel : channels) {
    const double mean = static_cast<double>(channel.sum) / count;
    const double variance = static_cast<double>(channel.sum_of_squares) / count - mean * mean;
    LIMBECK_CHECK(variance > 0, "[data] channel {} of {} is constant: it cannot be normalized.", normalize.mean.size(),
                  dataset.name());
    normalize.mean.push_back(static_cast<float>(mean / scale));
    normalize.stddev.push_back(static_cast<float>(std::sqrt(variance) / scale));
  }
  return normalize;
}

bool has_shape(const at::Tensor& image, const ImageShape& shape) {
  return image.dim() == 3 && image.size(0) == shape.channels &&
         (shape.is_open() || (image.size(1) == shape.height && image.size(2) == shape.width));
}

template <class Pixel>
Normalize statistics_by_sample(const Dataset& dataset) {
  const ImageShape shape = dataset.shape();
  std::vector<ChannelSums<Pixel>> channels(static_cast<std::size_t>(shape.channels));
  std::int64_t num_pixels = 0;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const at::Tensor image = dataset.sample(i).image.contiguous();
    LIMBECK_CHECK(image.scalar_type() == c10::CppTypeToScalarType<Pixel>::value && has_shape(image, shape),
                  "[data] sample {} of {} differs from the first in shape or dtype.", i, dataset.name());
    add_image(image.const_data_ptr<Pixel>(), image.size(1) * image.size(2), channels);
    num_pixels += image.size(1) * image.size(2);
  }
  return to_normalize(dataset, channels, num_pixels);
}

}  // namespace

Normalize channel_statistics(const Dataset& dataset) {
  LIMBECK_CHECK(dataset.size() > 0, "[data] {} is empty: it has no statistics.", dataset.name());
  const auto view = dataset.pixels();
  if (!view) {
    const bool is_bytes = dataset.sample(0).image.scalar_type() == at::kByte;
    return is_bytes ? statistics_by_sample<std::uint8_t>(dataset) : statistics_by_sample<float>(dataset);
  }
  const ImageShape shape = dataset.shape();
  std::vector<ChannelSums<std::uint8_t>> channels(static_cast<std::size_t>(shape.channels));
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    add_image(view->pixels + view->row(i) * shape.numel(), shape.height * shape.width, channels);
  }
  return to_normalize(dataset, channels, dataset.size() * shape.height * shape.width);
}

}  // namespace limbeck::data
