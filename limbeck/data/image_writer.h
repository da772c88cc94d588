// Writes an image into a batch: converts it to float32 and crops, flips and normalizes on the way, in one pass and
// without an intermediate image. Equal in every bit to transforms.h's apply, which it falls back on where a list of
// transforms has no one-pass form (a crop after a normalization).
#pragma once

#include "limbeck/data/transforms.h"

#include <array>

namespace limbeck::data {

enum class PixelOrder { channels_first, channels_last };

class ImageWriter {
 public:
  /// For images of `input`. Throws InvalidArgument as output_shape does.
  ImageWriter(std::vector<Transform> transforms, const ImageShape& input, PixelOrder order);

  const ImageShape& input_shape() const { return input_; }
  const ImageShape& output_shape() const { return output_; }

  /// Writes the image, contiguous [C, H, W] of input_shape(), as output_shape().numel() floats in the writer's order.
  /// May be called from several threads at once.
  void write(const std::uint8_t* image, const SampleKey& key, float* out) const;
  void write(const float* image, const SampleKey& key, float* out) const;

  /// Whether the list has a one-pass form.
  bool is_fused() const { return is_fused_; }

 private:
  using ByteTable = std::array<float, 256>;

  template <class Pixel>
  void write_image(const Pixel* image, const SampleKey& key, float* out) const;
  template <class Pixel>
  void write_in_steps(const Pixel* image, const SampleKey& key, float* out) const;
  template <class Pixel, class Convert>
  void write_plane(const Pixel* plane, const struct Window& window, float fill, const Convert& convert,
                   float* out) const;

  std::vector<Transform> transforms_;
  ImageShape input_;
  ImageShape output_;
  PixelOrder order_;
  bool is_fused_ = false;
  std::vector<float> mean_;  // per channel; 0 and 1 without a normalization
  std::vector<float> stddev_;
  std::vector<ByteTable> byte_table_;  // per channel: the float that each byte becomes
};

}  // namespace limbeck::data
