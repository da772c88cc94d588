// What is done to an image between the dataset and the model. Each transform is a value; a list of them is applied in
// order. They are torchvision's of the same names (v2, on uint8 tensors): bytes stay bytes until a normalization, or
// the end of the list, divides them by 255. A random transform is two functions: draw() gives the choice for one
// showing of a sample, from a stream keyed by (seed, epoch, sample, place in the list) alone, so a sample is augmented
// the same way whoever loads it, in any order; what then happens to the pixels is a pure function of the choice.
#pragma once

#include "limbeck/data/dataset.h"
#include "limbeck/data/transforms/auto_augment.h"
#include "limbeck/data/transforms/color_jitter.h"
#include "limbeck/data/transforms/pixels/geometry.h"
#include "limbeck/data/transforms/random_erasing.h"
#include "limbeck/data/transforms/random_resized_crop.h"
#include "limbeck/data/transforms/sample_key.h"

#include <variant>

namespace limbeck::data {

/// Resizes by resized_size's rule: {shorter side} or {height, width}.
struct Resize {
  std::vector<std::int64_t> size;
  std::int64_t max_size = 0;  ///< largest longer side where one number is given; 0: any
  Interpolation interpolation = Interpolation::bilinear;
};

/// The middle of {side} or {height, width} pixels; zero around images that are smaller.
struct CenterCrop {
  std::vector<std::int64_t> size;
};

/// Pads all four sides with `padding` pixels and cuts out a window at a random place, each equally likely (the
/// augmentation of He et al. 2015, arXiv:1512.03385, section 4.2).
struct RandomCrop {
  std::int64_t padding = 4;             ///< pixels
  std::vector<std::int64_t> size = {};  ///< {side} or {height, width} of the window; empty: the image's
  PaddingMode mode = PaddingMode::constant;
  double fill = 0;  ///< of a constant padding, in the image's own range
};

/// Adds {all sides}, {left and right, top and bottom} or {left, top, right, bottom} pixels.
struct Pad {
  std::vector<std::int64_t> padding;
  PaddingMode mode = PaddingMode::constant;
  double fill = 0;  ///< of a constant padding, in the image's own range
};

/// Mirrors left to right with the given probability.
struct HorizontalFlip {
  double probability = 0.5;
};

/// Turns upside down with the given probability.
struct VerticalFlip {
  double probability = 0.5;
};

/// The luma of uint8 images; see to_grayscale.
struct Grayscale {
  std::int64_t channels = 1;  ///< 1, or 3 equal ones
};

/// The luma in as many channels as the image has, with the given probability.
struct RandomGrayscale {
  double probability = 0.1;
};

/// (x - mean) / stddev, one pair a channel, or one for all, of pixels in 0..1.
struct Normalize {
  std::vector<float> mean;
  std::vector<float> stddev;
};

using Transform =
    std::variant<RandomCrop, HorizontalFlip, Normalize, Resize, CenterCrop, RandomResizedCrop, Pad, VerticalFlip,
                 ColorJitter, Grayscale, RandomGrayscale, RandomErasing, AutoAugment, RandAugment, TrivialAugmentWide>;

/// The shape that the transforms make of `shape`, which may be open. Throws InvalidArgument, naming the transform, if
/// one cannot be applied: an option out of its range, a window larger than the padded image, a number of means that is
/// neither one nor that of the channels, a change of colours after the normalization.
ImageShape output_shape(const std::vector<Transform>& transforms, ImageShape shape);
ImageShape output_shape(const Transform& transform, const ImageShape& shape);

/// Applies the transforms one after the other: the plain form of what ImageWriter does, equal to it in every bit.
/// image: [C, H, W], uint8 or float32 (taken as it is), on the CPU; returns float32 [C, H', W']. Throws as
/// output_shape, and InvalidArgument where a transform of colours meets floats.
at::Tensor apply(const std::vector<Transform>& transforms, const at::Tensor& image, const SampleKey& key);

/// Applies the transform at `place` of a list to an image: the choice drawn and done. uint8 stays uint8, but for
/// Normalize. Returns the image itself or a view of it where that suffices.
at::Tensor apply(const Transform& transform, const at::Tensor& image, const SampleKey& key, std::size_t place);

/// Whether it draws anything: two showings of a sample may then differ.
bool is_random(const Transform& transform);

/// Place of a crop's window in the image, in pixels from its corner; negative inside the padding.
struct CropOffset {
  std::int64_t top = 0;
  std::int64_t left = 0;
};

/// The choices of a random transform at `place` in the list, on an image of `shape`.
CropOffset draw(const RandomCrop& crop, const ImageShape& shape, const SampleKey& key, std::size_t place);
bool draw(const HorizontalFlip& flip, const SampleKey& key, std::size_t place);
bool draw(const VerticalFlip& flip, const SampleKey& key, std::size_t place);
bool draw(const RandomGrayscale& grayscale, const SampleKey& key, std::size_t place);

/// Mean and standard deviation (of the population) of each channel over all pixels of the dataset, scaled to 0..1 where
/// they are bytes; exact sums for datasets in memory, so the same on every machine. Throws InvalidArgument if the
/// dataset is empty or a channel is constant.
Normalize channel_statistics(const Dataset& dataset);

}  // namespace limbeck::data
