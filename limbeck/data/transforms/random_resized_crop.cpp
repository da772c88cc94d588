#include "limbeck/data/transforms/random_resized_crop.h"

#include "limbeck/data/transforms/ranges.h"

#include <cmath>
#include <optional>

namespace limbeck::data {
namespace {

constexpr int kTries = 10;
constexpr double kMaxRatio = 1e6;

// Python's int(round(x)): half to even.
std::int64_t rounded(double value) { return static_cast<std::int64_t>(std::nearbyint(value)); }

std::optional<Box> try_box(const RandomResizedCrop& crop, const Size& image, core::Rng& rng) {
  const double area = static_cast<double>(image.height * image.width) * rng.uniform(crop.scale[0], crop.scale[1]);
  const double ratio = std::exp(rng.uniform(std::log(crop.ratio[0]), std::log(crop.ratio[1])));
  const std::int64_t width = rounded(std::sqrt(area * ratio)), height = rounded(std::sqrt(area / ratio));
  if (width < 1 || width > image.width || height < 1 || height > image.height) return std::nullopt;
  const std::int64_t top = rng.between(0, image.height - height);
  const std::int64_t left = rng.between(0, image.width - width);
  return Box{.top = top, .left = left, .height = height, .width = width};
}

// The largest box of an allowed ratio in the middle.
Box central_box(const RandomResizedCrop& crop, const Size& image) {
  const double ratio = static_cast<double>(image.width) / static_cast<double>(image.height);
  Size size = image;
  if (ratio < crop.ratio[0]) {
    size.height = std::max<std::int64_t>(1, rounded(static_cast<double>(image.width) / crop.ratio[0]));
  } else if (ratio > crop.ratio[1]) {
    size.width = std::max<std::int64_t>(1, rounded(static_cast<double>(image.height) * crop.ratio[1]));
  }
  return {.top = (image.height - size.height) / 2,
          .left = (image.width - size.width) / 2,
          .height = size.height,
          .width = size.width};
}

}  // namespace

void check(const RandomResizedCrop& crop) {
  to_size(crop.size, "random_resized_crop");
  check_range(crop.scale, 0, 1, "random_resized_crop: scale");
  check_range(crop.ratio, 1 / kMaxRatio, kMaxRatio, "random_resized_crop: ratio");
}

Box draw(const RandomResizedCrop& crop, const Size& image, const SampleKey& key, std::size_t place) {
  core::Rng rng = stream(key, place);
  for (int i = 0; i < kTries; ++i) {
    if (const auto box = try_box(crop, image, rng)) return *box;
  }
  return central_box(crop, image);
}

at::Tensor apply(const RandomResizedCrop& rrc, const Box& box, const at::Tensor& image) {
  return resize(crop(image, box), to_size(rrc.size, "random_resized_crop"), rrc.interpolation);
}

}  // namespace limbeck::data
