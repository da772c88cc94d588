#include "limbeck/data/transforms.h"

#include "limbeck/core/error.h"
#include "limbeck/core/rng.h"
#include "limbeck/data/transforms/pixels/color.h"
#include "limbeck/data/transforms/pixels/pixels.h"
#include "limbeck/data/transforms/ranges.h"

#include <ATen/ops/empty.h>

#include <cmath>
#include <type_traits>
#include <utility>

namespace limbeck::data {
namespace {

constexpr std::int64_t kMaxPadding = 1 << 20;

Margins margins_of(const Pad& pad) {
  const auto& p = pad.padding;
  LIMBECK_CHECK(p.size() == 1 || p.size() == 2 || p.size() == 4,
                "[data] pad: padding must be one number for all sides, two (left and right, top and bottom) or four "
                "(left, top, right, bottom), got {}.",
                p.size());
  if (p.size() == 4) return {p[0], p[1], p[2], p[3]};
  return {p.front(), p.back(), p.front(), p.back()};
}

ImageShape with_size(const ImageShape& shape, const Size& size) { return {shape.channels, size.height, size.width}; }

void check_colours(const ImageShape& shape, const char* transform) {
  LIMBECK_CHECK(shape.channels == 1 || shape.channels == 3, "[data] {} works on images with 1 or 3 channels, got {}.",
                transform, shape.channels);
}

ImageShape shape_after(const RandomCrop& crop, const ImageShape& shape) {
  LIMBECK_CHECK(crop.padding >= 0, "[data] crop: padding must not be negative, got {}.", crop.padding);
  LIMBECK_CHECK(crop.padding <= kMaxPadding, "[data] crop: padding must be at most {} pixels, got {}.", kMaxPadding,
                crop.padding);
  const ImageShape window = crop.size.empty() ? shape : with_size(shape, to_size(crop.size, "crop"));
  if (shape.is_open()) return window;
  LIMBECK_CHECK(window.height <= shape.height + 2 * crop.padding && window.width <= shape.width + 2 * crop.padding,
                "[data] crop: a window of {}x{} pixels does not fit into an image of {}x{} with a padding of {}. Make "
                "it smaller or pad more.",
                window.height, window.width, shape.height, shape.width, crop.padding);
  return window;
}

ImageShape shape_after(const HorizontalFlip& flip, const ImageShape& shape) {
  check_probability(flip.probability, "flip");
  return shape;
}

ImageShape shape_after(const VerticalFlip& flip, const ImageShape& shape) {
  check_probability(flip.probability, "flip");
  return shape;
}

ImageShape shape_after(const Resize& resize, const ImageShape& shape) {
  const Size size = to_size(resize.size, "resize");
  LIMBECK_CHECK(resize.max_size >= 0 && (resize.max_size == 0 || resize.size.size() == 1),
                "[data] resize: max_size goes with one number for the shorter side, got {} with {} numbers.",
                resize.max_size, resize.size.size());
  LIMBECK_CHECK(resize.max_size == 0 || resize.max_size > size.height,
                "[data] resize: max_size must be larger than the shorter side {}, got {}.", size.height,
                resize.max_size);
  if (resize.size.size() == 2) return with_size(shape, size);
  return shape.is_open() ? shape
                         : with_size(shape, resized_size({shape.height, shape.width}, resize.size, resize.max_size));
}

ImageShape shape_after(const CenterCrop& crop, const ImageShape& shape) {
  return with_size(shape, to_size(crop.size, "center_crop"));
}

ImageShape shape_after(const RandomResizedCrop& crop, const ImageShape& shape) {
  check(crop);
  return with_size(shape, to_size(crop.size, "random_resized_crop"));
}

ImageShape shape_after(const Pad& pad, const ImageShape& shape) {
  const Margins margins = margins_of(pad);
  for (const std::int64_t margin : pad.padding) {
    LIMBECK_CHECK(margin >= 0 && margin <= kMaxPadding, "[data] pad: padding must be 0 to {} pixels, got {}.",
                  kMaxPadding, margin);
  }
  if (shape.is_open()) return shape;
  return {shape.channels, shape.height + margins.top + margins.bottom, shape.width + margins.left + margins.right};
}

ImageShape shape_after(const ColorJitter& jitter, const ImageShape& shape) {
  check(jitter);
  check_colours(shape, "color_jitter");
  return shape;
}

ImageShape shape_after(const Grayscale& grayscale, const ImageShape& shape) {
  check_colours(shape, "grayscale");
  LIMBECK_CHECK(grayscale.channels == 1 || grayscale.channels == 3, "[data] grayscale gives 1 or 3 channels, got {}.",
                grayscale.channels);
  return {grayscale.channels, shape.height, shape.width};
}

ImageShape shape_after(const RandomGrayscale& grayscale, const ImageShape& shape) {
  check_colours(shape, "random_grayscale");
  check_probability(grayscale.probability, "random_grayscale");
  return shape;
}

ImageShape shape_after(const RandomErasing& erasing, const ImageShape& shape) {
  check(erasing);
  LIMBECK_CHECK(erasing.value.size() == 1 || std::cmp_equal(erasing.value.size(), shape.channels),
                "[data] random_erasing: there must be one value, or {} for {} channels, got {}.", shape.channels,
                shape.channels, erasing.value.size());
  return shape;
}

template <class Augment>
requires(std::is_same_v<Augment, AutoAugment> || std::is_same_v<Augment, RandAugment> ||
         std::is_same_v<Augment, TrivialAugmentWide>) ImageShape
    shape_after(const Augment& augment, const ImageShape& shape) {
  check(augment);
  check_colours(shape, "an augmentation policy");
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

// Whether it reads colours and so needs bytes.
bool needs_bytes(const Transform& transform) {
  return std::holds_alternative<ColorJitter>(transform) || std::holds_alternative<Grayscale>(transform) ||
         std::holds_alternative<RandomGrayscale>(transform) || std::holds_alternative<AutoAugment>(transform) ||
         std::holds_alternative<RandAugment>(transform) || std::holds_alternative<TrivialAugmentWide>(transform);
}

void check_order(const std::vector<Transform>& transforms) {
  bool is_normalized = false;
  for (std::size_t place = 0; place < transforms.size(); ++place) {
    LIMBECK_CHECK(!is_normalized || !needs_bytes(transforms[place]),
                  "[data] transform {} of the list changes colours, after normalize: it needs bytes. Put it before.",
                  place + 1);
    is_normalized = is_normalized || std::holds_alternative<Normalize>(transforms[place]);
  }
}

at::Tensor to_float(const at::Tensor& image) {
  if (image.scalar_type() == at::kFloat) return image;
  return image.to(at::kFloat).div_(255);
}

Size size_of(const at::Tensor& image) { return {image.size(1), image.size(2)}; }

at::Tensor applied(const RandomCrop& random, const at::Tensor& image, const SampleKey& key, std::size_t place) {
  const ImageShape shape = shape_of(image);
  const auto [top, left] = draw(random, shape, key, place);
  const ImageShape window = shape_after(random, shape);
  const std::int64_t p = random.padding;
  if (random.mode == PaddingMode::constant && random.fill == 0) {
    return crop(image, {.top = top, .left = left, .height = window.height, .width = window.width});
  }
  const at::Tensor padded = pad(image, {p, p, p, p}, random.mode, random.fill);
  return crop(padded, {.top = top + p, .left = left + p, .height = window.height, .width = window.width});
}

at::Tensor applied(const HorizontalFlip& flip, const at::Tensor& image, const SampleKey& key, std::size_t place) {
  return draw(flip, key, place) ? flip_horizontally(image) : image;
}

at::Tensor applied(const VerticalFlip& flip, const at::Tensor& image, const SampleKey& key, std::size_t place) {
  return draw(flip, key, place) ? flip_vertically(image) : image;
}

at::Tensor applied(const Resize& to, const at::Tensor& image, const SampleKey&, std::size_t) {
  return resize(image, resized_size(size_of(image), to.size, to.max_size), to.interpolation);
}

at::Tensor applied(const CenterCrop& to, const at::Tensor& image, const SampleKey&, std::size_t) {
  return crop(image, center_box(size_of(image), to_size(to.size, "center_crop")));
}

at::Tensor applied(const RandomResizedCrop& crop, const at::Tensor& image, const SampleKey& key, std::size_t place) {
  return apply(crop, draw(crop, size_of(image), key, place), image);
}

at::Tensor applied(const Pad& by, const at::Tensor& image, const SampleKey&, std::size_t) {
  return pad(image, margins_of(by), by.mode, by.fill);
}

at::Tensor applied(const ColorJitter& jitter, const at::Tensor& image, const SampleKey& key, std::size_t place) {
  return apply(draw(jitter, key, place), image);
}

at::Tensor applied(const Grayscale& grayscale, const at::Tensor& image, const SampleKey&, std::size_t) {
  return to_grayscale(image, grayscale.channels);
}

at::Tensor applied(const RandomGrayscale& grayscale, const at::Tensor& image, const SampleKey& key, std::size_t place) {
  return draw(grayscale, key, place) ? to_grayscale(image, image.size(0)) : image;
}

at::Tensor applied(const RandomErasing& erasing, const at::Tensor& image, const SampleKey& key, std::size_t place) {
  const std::optional<Box> box = draw(erasing, size_of(image), key, place);
  return box ? apply(erasing, *box, image, key, place) : image;
}

template <class Augment>
requires(std::is_same_v<Augment, AutoAugment> || std::is_same_v<Augment, RandAugment> ||
         std::is_same_v<Augment, TrivialAugmentWide>) at::Tensor
    applied(const Augment& augment, const at::Tensor& image, const SampleKey& key, std::size_t place) {
  return apply_ops(draw(augment, size_of(image), key, place), image);
}

at::Tensor applied(const Normalize& normalize, const at::Tensor& image, const SampleKey&, std::size_t) {
  at::Tensor result = to_float(image).clone();
  for (std::int64_t c = 0; c < result.size(0); ++c) {
    const std::size_t mean = normalize.mean.size() == 1 ? 0 : static_cast<std::size_t>(c);
    const std::size_t stddev = normalize.stddev.size() == 1 ? 0 : static_cast<std::size_t>(c);
    result.select(0, c).sub_(normalize.mean[mean]).div_(normalize.stddev[stddev]);
  }
  return result;
}

}  // namespace

ImageShape output_shape(const std::vector<Transform>& transforms, ImageShape shape) {
  check_order(transforms);
  for (const Transform& transform : transforms) shape = output_shape(transform, shape);
  return shape;
}

ImageShape output_shape(const Transform& transform, const ImageShape& shape) {
  return std::visit([&](const auto& one) { return shape_after(one, shape); }, transform);
}

bool is_random(const Transform& transform) {
  return !std::holds_alternative<Normalize>(transform) && !std::holds_alternative<Resize>(transform) &&
         !std::holds_alternative<CenterCrop>(transform) && !std::holds_alternative<Pad>(transform) &&
         !std::holds_alternative<Grayscale>(transform);
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

bool draw(const VerticalFlip& flip, const SampleKey& key, std::size_t place) {
  core::Rng rng = stream(key, place);
  return rng.bernoulli(flip.probability);
}

bool draw(const RandomGrayscale& grayscale, const SampleKey& key, std::size_t place) {
  core::Rng rng = stream(key, place);
  return rng.bernoulli(grayscale.probability);
}

at::Tensor apply(const Transform& transform, const at::Tensor& image, const SampleKey& key, std::size_t place) {
  return std::visit([&](const auto& one) { return applied(one, image, key, place); }, transform);
}

at::Tensor apply(const std::vector<Transform>& transforms, const at::Tensor& image, const SampleKey& key) {
  LIMBECK_CHECK(image.dim() == 3 && image.device().is_cpu() &&
                    (image.scalar_type() == at::kByte || image.scalar_type() == at::kFloat),
                "[data] an image must be a uint8 or float32 tensor [C, H, W] on the CPU.");
  output_shape(transforms, shape_of(image));
  at::Tensor current = image;
  for (std::size_t place = 0; place < transforms.size(); ++place) {
    current = apply(transforms[place], current, key, place);
  }
  return to_float(current).contiguous();
}

}  // namespace limbeck::data
