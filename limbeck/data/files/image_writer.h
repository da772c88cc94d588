// Writes an image into a batch: converts it to float32 and crops, flips and normalizes on the way, in one pass and
// without an intermediate image. What has no such form (a resize, a change of colours) is done before, image by image;
// erasing is done in the batch. Equal in every bit to transforms.h's apply.
#pragma once

#include "limbeck/data/files/encoded_image.h"
#include "limbeck/data/transforms.h"

#include <array>

namespace limbeck::data {

enum class PixelOrder { channels_first, channels_last };

template <class Pixel>
struct ImageSource;
struct ImageWindow;

class ImageWriter {
 public:
  /// For images of `input`, which may be open. Throws InvalidArgument as output_shape does, and where images come out
  /// in different sizes.
  ImageWriter(std::vector<Transform> transforms, const ImageShape& input, PixelOrder order);

  const ImageShape& input_shape() const { return input_; }
  const ImageShape& output_shape() const { return output_; }

  /// Writes the image as output_shape().numel() floats in the writer's order. May be called from several threads at
  /// once. Pointers: contiguous [C, H, W] of input_shape(). Tensors: uint8 or float32 [C, H, W] of any strides and,
  /// where the input is open or the transforms make one size of any, any size; throws InvalidArgument if shape or dtype
  /// are others.
  void write(const std::uint8_t* image, const SampleKey& key, float* out) const;
  void write(const float* image, const SampleKey& key, float* out) const;
  void write(const at::Tensor& image, const SampleKey& key, float* out) const;

  /// Decodes what the transforms need of a file and writes it. A random_resized_crop at the beginning draws its box
  /// from the header's size, and the box alone is decoded; with DecodeScale::scaled perhaps at 1/2, 1/4 or 1/8 of its
  /// size, but never below the size that it is resized to.
  void write(const EncodedImage& image, DecodeScale scale, const SampleKey& key, float* out) const;

  /// Whether images are written in one pass, without an intermediate one.
  bool is_fused() const { return has_one_pass_ && one_pass_begin_ == 0; }

 private:
  using FloatTable = std::array<float, 256>;

  template <class Pixel>
  void write_raw(const Pixel* image, const SampleKey& key, float* out) const;
  void write_from(std::size_t place, at::Tensor image, const SampleKey& key, float* out) const;
  template <class Pixel>
  void write_in_one_pass(const ImageSource<Pixel>& source, const SampleKey& key, float* out) const;
  template <class Pixel, class Convert>
  void write_channel(const ImageSource<Pixel>& source, const ImageWindow& window, std::int64_t channel,
                     const Convert& convert, float* out) const;
  void copy_out(const at::Tensor& image, float* out) const;
  void erase_in(float* out, const SampleKey& key) const;

  std::vector<Transform> transforms_;
  ImageShape input_;
  ImageShape output_;
  PixelOrder order_;
  bool takes_any_size_ = false;
  // Transforms [0, one_pass_begin_) are done image by image, [one_pass_begin_, one_pass_end_) in the pass, the rest in
  // the batch. Without a one-pass form all are done image by image.
  bool has_one_pass_ = false;
  std::size_t one_pass_begin_ = 0;
  std::size_t one_pass_end_ = 0;
  std::vector<float> mean_;  // per channel; 0 and 1 without a normalization
  std::vector<float> stddev_;
  std::vector<FloatTable> tables_;  // per channel: the float that each byte becomes
};

}  // namespace limbeck::data
