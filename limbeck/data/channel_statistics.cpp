#include "limbeck/data/channel_statistics.h"

#include "limbeck/core/error.h"
#include "limbeck/core/log.h"
#include "limbeck/data/transforms.h"

#include <cmath>
#include <optional>
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

// Nothing for a sample that cannot be read and may be passed over.
std::optional<at::Tensor> image_at(const Dataset& dataset, std::int64_t index, OnError on_error) {
  try {
    return dataset.sample(index).image.contiguous();
  } catch (const IoError&) {
    if (on_error == OnError::raise) throw;
    return std::nullopt;
  }
}

// Squares of floats cannot overflow a double: sums are finite as long as the pixels are.
template <class Pixel>
void check_finite(const Dataset& dataset, std::int64_t index, const std::vector<ChannelSums<Pixel>>& channels) {
  if constexpr (std::is_floating_point_v<Pixel>) {
    for (const auto& channel : channels) {
      LIMBECK_CHECK(std::isfinite(channel.sum_of_squares),
                    "[data] sample {} of {} has pixels that are not finite: mend it or take it out.", index,
                    dataset.name());
    }
  }
}

void tell_skipped(const Dataset& dataset, std::int64_t num_skipped) {
  if (num_skipped == 0) return;
  if (num_skipped == dataset.size()) fail<IoError>("[data] no sample of {} can be read.", dataset.name());
  core::log_warning("[data] mean and stddev are measured without {} of {} samples of {}, which cannot be read",
                    num_skipped, dataset.size(), dataset.name());
}

template <class Pixel>
Normalize statistics_by_sample(const Dataset& dataset, OnError on_error) {
  const ImageShape shape = dataset.shape();
  std::vector<ChannelSums<Pixel>> channels(static_cast<std::size_t>(shape.channels));
  std::int64_t num_pixels = 0, num_skipped = 0;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const std::optional<at::Tensor> readable = image_at(dataset, i, on_error);
    if (!readable) {
      ++num_skipped;
      continue;
    }
    const at::Tensor& image = *readable;
    LIMBECK_CHECK(image.scalar_type() == c10::CppTypeToScalarType<Pixel>::value && has_shape(image, shape),
                  "[data] sample {} of {} differs from the first in shape or dtype.", i, dataset.name());
    add_image(image.const_data_ptr<Pixel>(), image.size(1) * image.size(2), channels);
    check_finite(dataset, i, channels);
    num_pixels += image.size(1) * image.size(2);
  }
  tell_skipped(dataset, num_skipped);
  return to_normalize(dataset, channels, num_pixels);
}

bool is_bytes(const Dataset& dataset) {
  return dataset.encoded(0).has_value() || dataset.sample(0).image.scalar_type() == at::kByte;
}

}  // namespace

Normalize channel_statistics(const Dataset& dataset) { return channel_statistics(dataset, OnError::raise); }

Normalize channel_statistics(const Dataset& dataset, OnError on_error) {
  LIMBECK_CHECK(dataset.size() > 0, "[data] {} is empty: it has no statistics.", dataset.name());
  const auto view = dataset.pixels();
  if (!view) {
    return is_bytes(dataset) ? statistics_by_sample<std::uint8_t>(dataset, on_error)
                             : statistics_by_sample<float>(dataset, on_error);
  }
  const ImageShape shape = dataset.shape();
  std::vector<ChannelSums<std::uint8_t>> channels(static_cast<std::size_t>(shape.channels));
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    add_image(view->pixels + view->row(i) * shape.numel(), shape.height * shape.width, channels);
  }
  return to_normalize(dataset, channels, dataset.size() * shape.height * shape.width);
}

}  // namespace limbeck::data
