#include "limbeck/data/transforms/auto_augment.h"

#include "limbeck/core/error.h"
#include "limbeck/data/transforms/augment_policies.h"
#include "limbeck/data/transforms/pixels/affine.h"
#include "limbeck/data/transforms/pixels/color.h"
#include "limbeck/data/transforms/pixels/tone.h"

#include <array>
#include <cmath>

namespace limbeck::data {
namespace {

using enum AugmentKind;

constexpr std::int64_t kMaxBins = 1 << 20;
constexpr std::int64_t kPolicyBins = 10;
// The search space of AutoAugment moves an image by up to 150 of 331 pixels.
constexpr double kMaxShift = 150.0 / 331.0;

// How an operation's magnitude grows over the bins, and whether its sign is drawn.
struct Range {
  double first = 0, last = 0;
  bool is_signed = false;
};

// Ranges of AutoAugment and RandAugment (tables 6 and section 3 of their papers) for an image of `size`.
Range usual_range(AugmentKind kind, const Size& size) {
  switch (kind) {
    case shear_x:
    case shear_y:
      return {0, 0.3, true};
    case translate_x:
      return {0, kMaxShift * static_cast<double>(size.width), true};
    case translate_y:
      return {0, kMaxShift * static_cast<double>(size.height), true};
    case rotate:
      return {0, 30, true};
    case brightness:
    case color:
    case contrast:
    case sharpness:
      return {0, 0.9, true};
    case posterize:
      return {8, 4, false};
    case solarize:
      return {1, 0, false};
    default:
      return {};
  }
}

// The wide ranges of TrivialAugment (table 1, right column).
Range wide_range(AugmentKind kind) {
  switch (kind) {
    case shear_x:
    case shear_y:
    case brightness:
    case color:
    case contrast:
    case sharpness:
      return {0, 0.99, true};
    case translate_x:
    case translate_y:
      return {0, 32, true};
    case rotate:
      return {0, 135, true};
    case posterize:
      return {8, 2, false};
    case solarize:
      return {1, 0, false};
    default:
      return {};
  }
}

AugmentOp at_bin(AugmentKind kind, const Range& range, std::int64_t bin, std::int64_t num_bins, core::Rng& rng) {
  const double share = num_bins > 1 ? static_cast<double>(bin) / static_cast<double>(num_bins - 1) : 0;
  double magnitude = range.first + (range.last - range.first) * share;
  if (kind == posterize) magnitude = std::nearbyint(magnitude);
  if (range.is_signed && rng.bernoulli(0.5)) magnitude = -magnitude;
  return {kind, magnitude};
}

// The operations of RandAugment and TrivialAugment: all but invert.
AugmentKind draw_kind(core::Rng& rng) {
  return static_cast<AugmentKind>(rng.below(static_cast<std::uint64_t>(invert)));
}

void check_bins(std::int64_t num_bins, const char* transform) {
  LIMBECK_CHECK(num_bins >= 2 && num_bins <= kMaxBins, "[data] {}: num_magnitude_bins must be 2 to {}, got {}.",
                transform, kMaxBins, num_bins);
}

at::Tensor apply_one(const AugmentOp& op, const at::Tensor& image) {
  const Size size{image.size(1), image.size(2)};
  const auto pixels = static_cast<std::int64_t>(op.magnitude);
  switch (op.kind) {
    case identity:
      return image;
    case shear_x:
      return warp(image, shear_x_map(size, op.magnitude));
    case shear_y:
      return warp(image, shear_y_map(size, op.magnitude));
    case translate_x:
      return warp(image, translation_map(pixels, 0));
    case translate_y:
      return warp(image, translation_map(0, pixels));
    case rotate:
      return warp(image, rotation_map(op.magnitude));
    case brightness:
      return adjust_brightness(image, 1 + op.magnitude);
    case color:
      return adjust_saturation(image, 1 + op.magnitude);
    case contrast:
      return adjust_contrast(image, 1 + op.magnitude);
    case sharpness:
      return adjust_sharpness(image, 1 + op.magnitude);
    case posterize:
      return data::posterize(image, static_cast<int>(op.magnitude));
    case solarize:
      return data::solarize(image, 255 * op.magnitude);
    case autocontrast:
      return data::autocontrast(image);
    case equalize:
      return data::equalize(image);
    case invert:
      return data::invert(image);
  }
  LIMBECK_ASSERT(false, "[data] operation {}", static_cast<int>(op.kind));
}

}  // namespace

std::string_view augment_name(AugmentKind kind) {
  static constexpr std::array<std::string_view, 15> kNames{
      "Identity", "ShearX",    "ShearY",    "TranslateX", "TranslateY",   "Rotate",   "Brightness", "Color",
      "Contrast", "Sharpness", "Posterize", "Solarize",   "AutoContrast", "Equalize", "Invert"};
  return kNames.at(static_cast<std::size_t>(kind));
}

at::Tensor apply_ops(const std::vector<AugmentOp>& ops, const at::Tensor& image) {
  at::Tensor result = image;
  for (const AugmentOp& op : ops) result = apply_one(op, result);
  return result;
}

void check(const AutoAugment&) {}

void check(const RandAugment& augment) {
  check_bins(augment.num_magnitude_bins, "rand_augment");
  LIMBECK_CHECK(augment.num_ops >= 0 && augment.num_ops <= 100,
                "[data] rand_augment: num_ops must be 0 to 100, got {}.", augment.num_ops);
  LIMBECK_CHECK(augment.magnitude >= 0 && augment.magnitude < augment.num_magnitude_bins,
                "[data] rand_augment: magnitude must be 0 to {} (num_magnitude_bins - 1), got {}.",
                augment.num_magnitude_bins - 1, augment.magnitude);
}

void check(const TrivialAugmentWide& augment) { check_bins(augment.num_magnitude_bins, "trivial_augment_wide"); }

std::vector<AugmentOp> draw(const AutoAugment& augment, const Size& size, const SampleKey& key, std::size_t place) {
  core::Rng rng = stream(key, place);
  const auto policies = sub_policies(augment.policy);
  std::vector<AugmentOp> ops;
  for (const PolicyStep& step : policies[rng.below(policies.size())]) {
    if (!rng.bernoulli(step.probability)) continue;
    ops.push_back(at_bin(step.kind, usual_range(step.kind, size), step.magnitude, kPolicyBins, rng));
  }
  return ops;
}

std::vector<AugmentOp> draw(const RandAugment& augment, const Size& size, const SampleKey& key, std::size_t place) {
  core::Rng rng = stream(key, place);
  std::vector<AugmentOp> ops;
  for (std::int64_t i = 0; i < augment.num_ops; ++i) {
    const AugmentKind kind = draw_kind(rng);
    ops.push_back(at_bin(kind, usual_range(kind, size), augment.magnitude, augment.num_magnitude_bins, rng));
  }
  return ops;
}

std::vector<AugmentOp> draw(const TrivialAugmentWide& augment, const Size&, const SampleKey& key, std::size_t place) {
  core::Rng rng = stream(key, place);
  const AugmentKind kind = draw_kind(rng);
  const auto bin = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(augment.num_magnitude_bins)));
  return {at_bin(kind, wide_range(kind), bin, augment.num_magnitude_bins, rng)};
}

}  // namespace limbeck::data
