// What is done to an image between the dataset and the model. Each transform is a value; a list of them is applied in
// order to the image as float32, bytes first divided by 255. Every random choice is drawn from a stream keyed by (seed,
// epoch, sample, place in the list) alone, so a sample is augmented the same way whoever loads it, in any order.
#pragma once

#include "limbeck/data/dataset.h"

#include <variant>

namespace limbeck::data {

/// Pads all four sides with `padding` pixels of zero and cuts out a window at a random place, each equally likely (the
/// augmentation of He et al. 2015, arXiv:1512.03385, section 4.2).
struct RandomCrop {
  std::int64_t padding = 4;  ///< pixels
  std::int64_t height = 0;   ///< of the window; 0: of the image
  std::int64_t width = 0;
};

/// Mirrors left to right with the given probability.
struct HorizontalFlip {
  double probability = 0.5;
};

/// (x - mean) / stddev, one pair a channel, or one for all.
struct Normalize {
  std::vector<float> mean;
  std::vector<float> stddev;
};

using Transform = std::variant<RandomCrop, HorizontalFlip, Normalize>;

/// Names one showing of one sample.
struct SampleKey {
  std::uint64_t seed = 0;
  std::int64_t epoch = 0;
  std::int64_t sample = 0;
};

/// The shape that the transforms make of `shape`. Throws InvalidArgument, naming the transform, if one cannot be
/// applied: a window larger than the padded image, a probability outside 0..1, a stddev not above zero, a number of
/// means that is neither one nor that of the channels.
ImageShape output_shape(const std::vector<Transform>& transforms, ImageShape shape);
ImageShape output_shape(const Transform& transform, const ImageShape& shape);

/// Applies the transforms one after the other: the plain form of what ImageWriter does in one pass, equal to it in
/// every bit. image: [C, H, W], uint8 or float32, on the CPU; returns float32 [C, H', W']. Throws as output_shape.
at::Tensor apply(const std::vector<Transform>& transforms, const at::Tensor& image, const SampleKey& key);

/// Place of a crop's window in the image, in pixels from its corner; negative inside the padding.
struct CropOffset {
  std::int64_t top = 0;
  std::int64_t left = 0;
};

/// The choices of a random transform at `place` in the list, on an image of `shape`.
CropOffset draw(const RandomCrop& crop, const ImageShape& shape, const SampleKey& key, std::size_t place);
bool draw(const HorizontalFlip& flip, const SampleKey& key, std::size_t place);

/// Mean and standard deviation (of the population) of each channel over all pixels of the dataset, scaled to 0..1 where
/// they are bytes; exact sums for datasets in memory, so the same on every machine. Throws InvalidArgument if the
/// dataset is empty or a channel is constant.
Normalize channel_statistics(const Dataset& dataset);

}  // namespace limbeck::data
