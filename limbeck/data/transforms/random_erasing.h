// Overwrites a random rectangle: Zhong et al. 2017 (arXiv:1708.04896), algorithm 1, as torchvision's RandomErasing.
#pragma once

#include "limbeck/data/transforms/pixels/geometry.h"
#include "limbeck/data/transforms/sample_key.h"

#include <optional>

namespace limbeck::data {

/// What stands in the rectangle: a value, or standard normal noise (torchvision's value="random").
enum class ErasingContent : std::uint8_t { value, noise };

struct RandomErasing {
  double probability = 0.5;
  std::vector<double> scale = {0.02, 0.33};  ///< lowest and highest share of the image's area
  std::vector<double> ratio = {0.3, 3.3};    ///< lowest and highest height over width; uniform in the logarithm
  std::vector<double> value = {0};           ///< one, or one a channel, in the units of the image where it stands
  ErasingContent content = ErasingContent::value;
};

/// Throws InvalidArgument if an option is out of range.
void check(const RandomErasing& erasing);

/// The rectangle, or nothing: by chance, or where ten tries found none that is smaller than the image.
std::optional<Box> draw(const RandomErasing& erasing, const Size& image, const SampleKey& key, std::size_t place);

/// Floats of an image in any order; pixel (y, x) of channel c is values[c * channel + y * row + x * column].
struct FloatImage {
  float* values = nullptr;
  std::int64_t channels = 0;
  std::int64_t channel = 0, row = 0, column = 0;  ///< strides
};

/// Overwrites `box`; noise is drawn from the stream of (key, place) after the box. Throws InvalidArgument unless there
/// is one value, or one a channel.
void erase(const RandomErasing& erasing, const Box& box, const FloatImage& image, const SampleKey& key,
           std::size_t place);

/// A copy of the image with `box` overwritten: uint8 (values cut to bytes) or float32 [C, H, W].
at::Tensor apply(const RandomErasing& erasing, const Box& box, const at::Tensor& image, const SampleKey& key,
                 std::size_t place);

}  // namespace limbeck::data
