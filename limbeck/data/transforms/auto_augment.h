// Learned and random policies of augmentation on uint8 images: AutoAugment (Cubuk et al. 2018, arXiv:1805.09501),
// RandAugment (Cubuk et al. 2019, arXiv:1909.13719) and TrivialAugment Wide (Mueller and Hutter 2021,
// arXiv:2103.10158), with the operations, ranges and policies of torchvision's transforms of these names; the nearest
// pixel and a fill of zero, its defaults.
#pragma once

#include "limbeck/data/transforms/pixels/geometry.h"
#include "limbeck/data/transforms/sample_key.h"

#include <string_view>

namespace limbeck::data {

enum class AugmentKind : std::uint8_t {
  identity,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  rotate,
  brightness,
  color,
  contrast,
  sharpness,
  posterize,
  solarize,
  autocontrast,
  equalize,
  invert,
};

/// torchvision's name of the operation: "ShearX".
std::string_view augment_name(AugmentKind kind);

/// An operation and how strong it is, in its own unit: tan of the angle (shears), pixels (translations), degrees,
/// factor - 1 (brightness to sharpness), bits, or the threshold over 255; 0 where it has none.
struct AugmentOp {
  AugmentKind kind = AugmentKind::identity;
  double magnitude = 0;

  bool operator==(const AugmentOp&) const = default;
};

/// The operations one after the other. image: uint8 [C, H, W], C 1 or 3.
at::Tensor apply_ops(const std::vector<AugmentOp>& ops, const at::Tensor& image);

enum class AutoAugmentPolicy : std::uint8_t { imagenet, cifar10, svhn };

/// One of 25 learned pairs of operations, each done with its own probability.
struct AutoAugment {
  AutoAugmentPolicy policy = AutoAugmentPolicy::imagenet;
};

/// `num_ops` operations drawn with replacement, all at one magnitude.
struct RandAugment {
  std::int64_t num_ops = 2;
  std::int64_t magnitude = 9;  ///< 0 to num_magnitude_bins - 1
  std::int64_t num_magnitude_bins = 31;
};

/// One operation at a random magnitude.
struct TrivialAugmentWide {
  std::int64_t num_magnitude_bins = 31;
};

/// Throw InvalidArgument if an option is out of range.
void check(const AutoAugment& augment);
void check(const RandAugment& augment);
void check(const TrivialAugmentWide& augment);

/// The operations for one showing of an image of `size`.
std::vector<AugmentOp> draw(const AutoAugment& augment, const Size& size, const SampleKey& key, std::size_t place);
std::vector<AugmentOp> draw(const RandAugment& augment, const Size& size, const SampleKey& key, std::size_t place);
std::vector<AugmentOp> draw(const TrivialAugmentWide& augment, const Size& size, const SampleKey& key,
                            std::size_t place);

}  // namespace limbeck::data
