#include "limbeck/data/transforms/random_erasing.h"

#include "limbeck/core/error.h"
#include "limbeck/data/transforms/ranges.h"

#include <cmath>

namespace limbeck::data {
namespace {

constexpr int kTries = 10;
constexpr double kMaxRatio = 1e6;
// Where noise begins in the transform's stream: past all that choosing a box can draw.
constexpr std::uint64_t kNoisePosition = 1024;

std::int64_t rounded(double value) { return static_cast<std::int64_t>(std::nearbyint(value)); }

std::optional<Box> try_box(const RandomErasing& erasing, const Size& image, core::Rng& rng) {
  const double area = static_cast<double>(image.height * image.width) * rng.uniform(erasing.scale[0], erasing.scale[1]);
  const double ratio = std::exp(rng.uniform(std::log(erasing.ratio[0]), std::log(erasing.ratio[1])));
  const std::int64_t height = rounded(std::sqrt(area * ratio)), width = rounded(std::sqrt(area / ratio));
  if (height >= image.height || width >= image.width) return std::nullopt;
  const std::int64_t top = rng.between(0, image.height - height);
  const std::int64_t left = rng.between(0, image.width - width);
  return Box{.top = top, .left = left, .height = height, .width = width};
}

}  // namespace

void check(const RandomErasing& erasing) {
  check_probability(erasing.probability, "random_erasing");
  check_range(erasing.scale, 0, 1, "random_erasing: scale");
  check_range(erasing.ratio, 1 / kMaxRatio, kMaxRatio, "random_erasing: ratio");
  LIMBECK_CHECK(!erasing.value.empty(), "[data] random_erasing: value must be one number, or one a channel.");
}

std::optional<Box> draw(const RandomErasing& erasing, const Size& image, const SampleKey& key, std::size_t place) {
  core::Rng rng = stream(key, place);
  if (!rng.bernoulli(erasing.probability)) return std::nullopt;
  for (int i = 0; i < kTries; ++i) {
    if (const auto box = try_box(erasing, image, rng)) return box;
  }
  return std::nullopt;
}

void erase(const RandomErasing& erasing, const Box& box, const FloatImage& image, const SampleKey& key,
           std::size_t place) {
  LIMBECK_CHECK(erasing.value.size() == 1 || std::cmp_equal(erasing.value.size(), image.channels),
                "[data] random_erasing: there must be one value, or {} for {} channels, got {}.", image.channels,
                image.channels, erasing.value.size());
  core::Rng rng = stream(key, place);
  rng.seek(kNoisePosition);
  for (std::int64_t c = 0; c < image.channels; ++c) {
    const auto value = static_cast<float>(erasing.value[erasing.value.size() == 1 ? 0 : static_cast<std::size_t>(c)]);
    for (std::int64_t y = box.top; y < box.top + box.height; ++y) {
      float* row = image.values + c * image.channel + y * image.row;
      for (std::int64_t x = box.left; x < box.left + box.width; ++x) {
        row[x * image.column] = erasing.content == ErasingContent::noise ? static_cast<float>(rng.normal()) : value;
      }
    }
  }
}

at::Tensor apply(const RandomErasing& erasing, const Box& box, const at::Tensor& image, const SampleKey& key,
                 std::size_t place) {
  at::Tensor result = image.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  erase(erasing, box,
        {.values = result.mutable_data_ptr<float>(),
         .channels = result.size(0),
         .channel = result.stride(0),
         .row = result.stride(1),
         .column = result.stride(2)},
        key, place);
  return result.to(image.scalar_type());
}

}  // namespace limbeck::data
