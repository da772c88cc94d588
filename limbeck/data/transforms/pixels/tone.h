// Posterize, solarize, autocontrast, equalize, invert and sharpness of uint8 images, as torchvision's v2.functional has
// them for uint8 tensors. Images are [C, H, W] with 1 or 3 channels; anything else is InvalidArgument. Results are new
// tensors, or the image where nothing changes.
#pragma once

#include <ATen/core/Tensor.h>

namespace limbeck::data {

/// Keeps the `bits` highest bits of each byte, 0 to 8.
at::Tensor posterize(const at::Tensor& image, int bits);

/// Inverts bytes of at least `threshold`.
at::Tensor solarize(const at::Tensor& image, double threshold);

/// Stretches each channel to 0..255; a channel of one value stays.
at::Tensor autocontrast(const at::Tensor& image);

/// Equalizes the histogram of each channel, by Pillow's table.
at::Tensor equalize(const at::Tensor& image);

at::Tensor invert(const at::Tensor& image);

/// Blends with the image smoothed by the 3x3 kernel of ones with a 5 in the middle, over 13: 0 gives the smoothed
/// image, 1 the image itself, more a sharper one. The outermost pixels stay. factor >= 0.
at::Tensor adjust_sharpness(const at::Tensor& image, double factor);

}  // namespace limbeck::data
