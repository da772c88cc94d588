// Brightness, contrast, saturation, hue and gray of uint8 images, as torchvision's v2.functional adjust_* and
// rgb_to_grayscale compute them on uint8 tensors: in float32, clamped to 0..255 and cut (not rounded) to bytes. Images
// are [C, H, W] with 1 or 3 channels; anything else is InvalidArgument. Results are new tensors.
#pragma once

#include <ATen/core/Tensor.h>

namespace limbeck::data {

/// Each byte times `factor` >= 0.
at::Tensor adjust_brightness(const at::Tensor& image, double factor);

/// Blends with the mean of the image's gray values: 0 gives a uniform image, 1 the image itself. factor >= 0.
at::Tensor adjust_contrast(const at::Tensor& image, double factor);

/// Blends with the gray image: 0 gives gray, 1 the image itself. factor >= 0. Gray images stay as they are.
at::Tensor adjust_saturation(const at::Tensor& image, double factor);

/// Turns the hue in HSV space by `factor` of the circle, -0.5 to 0.5. Gray images stay as they are.
at::Tensor adjust_hue(const at::Tensor& image, double factor);

/// The luma 0.2989 R + 0.587 G + 0.114 B in one channel or, repeated, in three.
at::Tensor to_grayscale(const at::Tensor& image, std::int64_t num_channels);

}  // namespace limbeck::data
