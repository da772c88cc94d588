// Mixing the samples of a batch and their labels: mixup (Zhang et al. 2017, arXiv:1710.09412) and CutMix (Yun et al.
// 2019, arXiv:1905.04899), as torchvision's v2 has them: each sample with the one before it in the batch, the first
// with the last, by one lambda a batch.
#pragma once

#include "limbeck/data/transforms/pixels/geometry.h"
#include "limbeck/data/transforms/sample_key.h"

#include <optional>
#include <variant>

namespace limbeck::data {

/// x_i becomes lambda x_i + (1 - lambda) x_(i-1); lambda is drawn from Beta(alpha, alpha).
struct MixUp {
  double alpha = 1;  ///< above 0
};

/// A random box of x_(i-1) replaces that of x_i; its area is 1 - lambda of the image's, less what lies outside.
struct CutMix {
  double alpha = 1;  ///< above 0
};

using BatchTransform = std::variant<MixUp, CutMix>;

/// Throws InvalidArgument if an option is out of range.
void check(const BatchTransform& transform);

/// One batch's choice: the share of each sample's own label, and the box that comes from its neighbour.
struct Mixture {
  double lambda = 1;
  std::optional<Box> box;  ///< of CutMix; without it the pixels are mixed
};

/// The choice for a batch of images of `size`; `key.sample` is that of its first sample.
Mixture draw(const MixUp& mixup, const Size& size, const SampleKey& key);
Mixture draw(const CutMix& cutmix, const Size& size, const SampleKey& key);
/// Of one of several transforms, each equally likely (torchvision's RandomChoice).
Mixture draw(const std::vector<BatchTransform>& transforms, const Size& size, const SampleKey& key);

/// Mixes the images in place. images: float32 [B, C, H, W], contiguous or channels_last.
void mix(const Mixture& mixture, at::Tensor& images);

/// lambda one_hot(y_i) + (1 - lambda) one_hot(y_(i-1)). labels: int64 [B] in 0..num_classes-1; returns float32 [B,
/// num_classes].
at::Tensor mixed_targets(const at::Tensor& labels, std::int64_t num_classes, double lambda);

}  // namespace limbeck::data
