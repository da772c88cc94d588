#include "limbeck/data/transforms.h"

#include "limbeck/core/error.h"
#include "limbeck/core/rng.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

namespace limbeck::data {
namespace {

ImageShape shape_after(const RandomCrop& crop, const ImageShape& shape) {
  LIMBECK_CHECK(crop.padding >= 0 && crop.height >= 0 && crop.width >= 0,
                "[data] crop: padding, height and width must not be negative, got {}, {} and {}.", crop.padding,
                crop.height, crop.width);
  LIMBECK_CHECK(crop.padding <= 1 << 20, "[data] crop: padding must be at most {} pixels, got {}.", 1 << 20,
                crop.padding);
  const ImageShape window{shape.channels, crop.height > 0 ? crop.height : shape.height,
                          crop.width > 0 ? crop.width : shape.width};
  LIMBECK_CHECK(window.height <= shape.height + 2 * crop.padding && window.width <= shape.width + 2 * crop.padding,
                "[data] crop: a window of {}x{} pixels does not fit into an image of {}x{} with a padding of {}. Make "
                "it smaller or pad more.",
                window.height, window.width, shape.height, shape.width, crop.padding);
  return window;
}

ImageShape shape_after(const HorizontalFlip& flip, const ImageShape& shape) {
  LIMBECK_CHECK(flip.probability >= 0 && flip.probability <= 1,
                "[data] flip: the probability must lie in 0..1, got {}.", flip.probability);
  return shape;
}

ImageShape shape_after(const Normalize& normalize, const ImageShape& shape) {
  const auto is_right = [&](const std::vector<float>& values) {
    return values.size() == 1 || std::cmp_equal(values.size(), shape.channels);
  };
  LIMBECK_CHECK(
      is_right(normalize.mean) && is_right(normalize.stddev),
      "[data] normalize: there must be one mean and one stddev, or {} of each for {} channels, got {} and {}.",
      shape.channels, shape.channels, normalize.mean.size(), normalize.stddev.size());
  for (const float mean : normalize.mean) {
    LIMBECK_CHECK(std::isfinite(mean), "[data] normalize: the mean must be finite, got {}.", mean);
  }
  for (const float stddev : normalize.stddev) {
    LIMBECK_CHECK(std::isfinite(stddev) && stddev > 0, "[data] normalize: the stddev must be above zero, got {}.",
                  stddev);
  }
  return shape;
}

core::Rng stream(const SampleKey& key, std::size_t place) {
  return core::Rng({.seed = key.seed,
                    .epoch = static_cast<std::uint64_t>(key.epoch),
                    .sample = static_cast<std::uint64_t>(key.sample),
                    .transform = static_cast<std::uint32_t>(place)});
}

struct Image {
  ImageShape shape;
  std::vector<float> pixels;  // [C, H, W]
};

Image to_image(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  Image image{{dense.size(0), dense.size(1), dense.size(2)},
              std::vector<float>(static_cast<std::size_t>(dense.numel()))};
  if (dense.scalar_type() == at::kFloat) {
    std::copy_n(dense.const_data_ptr<float>(), dense.numel(), image.pixels.begin());
  } else {
    std::transform(dense.const_data_ptr<std::uint8_t>(), dense.const_data_ptr<std::uint8_t>() + dense.numel(),
                   image.pixels.begin(), [](std::uint8_t value) { return static_cast<float>(value) / 255.0F; });
  }
  return image;
}

Image applied(const RandomCrop& crop, const Image& image, const SampleKey& key, std::size_t place) {
  const auto [top, left] = draw(crop, image.shape, key, place);
  const ImageShape from = image.shape;
  const ImageShape to = shape_after(crop, from);
  Image window{to, std::vector<float>(static_cast<std::size_t>(to.numel()), 0.0F)};
  for (std::int64_t c = 0; c < to.channels; ++c) {
    for (std::int64_t y = 0; y < to.height; ++y) {
      for (std::int64_t x = 0; x < to.width; ++x) {
        const std::int64_t source_y = y + top, source_x = x + left;
        if (source_y < 0 || source_y >= from.height || source_x < 0 || source_x >= from.width) continue;
        window.pixels[static_cast<std::size_t>((c * to.height + y) * to.width + x)] =
            image.pixels[static_cast<std::size_t>((c * from.height + source_y) * from.width + source_x)];
      }
    }
  }
  return window;
}

Image applied(const HorizontalFlip& flip, Image image, const SampleKey& key, std::size_t place) {
  if (!draw(flip, key, place)) return image;
  for (auto row = image.pixels.begin(); row != image.pixels.end(); row += image.shape.width) {
    std::reverse(row, row + image.shape.width);
  }
  return image;
}

Image applied(const Normalize& normalize, Image image, const SampleKey&, std::size_t) {
  const std::int64_t plane = image.shape.height * image.shape.width;
  for (std::int64_t c = 0; c < image.shape.channels; ++c) {
    const float mean = normalize.mean[normalize.mean.size() == 1 ? 0 : static_cast<std::size_t>(c)];
    const float stddev = normalize.stddev[normalize.stddev.size() == 1 ? 0 : static_cast<std::size_t>(c)];
    const auto first = image.pixels.begin() + c * plane;
    std::transform(first, first + plane, first, [=](float value) { return (value - mean) / stddev; });
  }
  return image;
}

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

template <class Pixel>
Normalize to_normalize(const Dataset& dataset, const std::vector<ChannelSums<Pixel>>& channels) {
  const ImageShape shape = dataset.shape();
  const double count = static_cast<double>(dataset.size()) * static_cast<double>(shape.height * shape.width);
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

template <class Pixel>
Normalize statistics_by_sample(const Dataset& dataset) {
  const ImageShape shape = dataset.shape();
  std::vector<ChannelSums<Pixel>> channels(static_cast<std::size_t>(shape.channels));
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const at::Tensor image = dataset.sample(i).image.contiguous();
    LIMBECK_CHECK(image.scalar_type() == c10::CppTypeToScalarType<Pixel>::value && image.numel() == shape.numel(),
                  "[data] sample {} of {} differs from the first in shape or dtype.", i, dataset.name());
    add_image(image.const_data_ptr<Pixel>(), shape.height * shape.width, channels);
  }
  return to_normalize(dataset, channels);
}

}  // namespace

ImageShape output_shape(const std::vector<Transform>& transforms, ImageShape shape) {
  for (const Transform& transform : transforms) shape = output_shape(transform, shape);
  return shape;
}

ImageShape output_shape(const Transform& transform, const ImageShape& shape) {
  return std::visit([&](const auto& one) { return shape_after(one, shape); }, transform);
}

CropOffset draw(const RandomCrop& crop, const ImageShape& shape, const SampleKey& key, std::size_t place) {
  const ImageShape window = shape_after(crop, shape);
  core::Rng rng = stream(key, place);
  const std::int64_t top = rng.between(0, shape.height + 2 * crop.padding - window.height) - crop.padding;
  const std::int64_t left = rng.between(0, shape.width + 2 * crop.padding - window.width) - crop.padding;
  return {top, left};
}

bool draw(const HorizontalFlip& flip, const SampleKey& key, std::size_t place) {
  core::Rng rng = stream(key, place);
  return rng.bernoulli(flip.probability);
}

at::Tensor apply(const std::vector<Transform>& transforms, const at::Tensor& image, const SampleKey& key) {
  LIMBECK_CHECK(image.dim() == 3 && image.device().is_cpu() &&
                    (image.scalar_type() == at::kByte || image.scalar_type() == at::kFloat),
                "[data] an image must be a uint8 or float32 tensor [C, H, W] on the CPU.");
  Image current = to_image(image);
  output_shape(transforms, current.shape);
  for (std::size_t place = 0; place < transforms.size(); ++place) {
    current =
        std::visit([&](const auto& one) { return applied(one, std::move(current), key, place); }, transforms[place]);
  }
  at::Tensor result = at::empty({current.shape.channels, current.shape.height, current.shape.width}, at::kFloat);
  std::copy(current.pixels.begin(), current.pixels.end(), result.mutable_data_ptr<float>());
  return result;
}

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
  return to_normalize(dataset, channels);
}

}  // namespace limbeck::data
