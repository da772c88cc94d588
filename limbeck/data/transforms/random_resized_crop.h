// Crops a box of random area and aspect ratio and resizes it: Szegedy et al. 2014 (arXiv:1409.4842), section 6, as
// torchvision's RandomResizedCrop.
#pragma once

#include "limbeck/data/transforms/pixels/geometry.h"
#include "limbeck/data/transforms/sample_key.h"

namespace limbeck::data {

struct RandomResizedCrop {
  std::vector<std::int64_t> size;               ///< {side} or {height, width} of the result
  std::vector<double> scale = {0.08, 1.0};      ///< lowest and highest share of the image's area
  std::vector<double> ratio = {0.75, 4. / 3.};  ///< lowest and highest width over height; uniform in the logarithm
  Interpolation interpolation = Interpolation::bilinear;
};

/// Throws InvalidArgument if an option is out of range.
void check(const RandomResizedCrop& crop);

/// The box in an image: ten tries, then the largest central box within the ratios.
Box draw(const RandomResizedCrop& crop, const Size& image, const SampleKey& key, std::size_t place);

/// The pixels of `box`, resized: v2.functional.resized_crop.
at::Tensor apply(const RandomResizedCrop& crop, const Box& box, const at::Tensor& image);

}  // namespace limbeck::data
