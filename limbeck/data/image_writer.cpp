#include "limbeck/data/image_writer.h"

#include "limbeck/core/error.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <type_traits>
#include <utility>

namespace limbeck::data {

// Where the pixels of a cropped and flipped image come from: output (y, x) shows input (top + y, left + step * x) for y
// in [first_row, end_row) and x in [first_column, end_column), and the padding elsewhere.
struct Window {
  std::int64_t height, width;
  std::int64_t top = 0, left = 0, step = 1;
  std::int64_t first_row = 0, end_row, first_column = 0, end_column;
};

namespace {

Window whole(const ImageShape& shape) {
  return {.height = shape.height, .width = shape.width, .end_row = shape.height, .end_column = shape.width};
}

Window cropped(Window window, const CropOffset& offset, std::int64_t height, std::int64_t width) {
  window.top += offset.top;
  window.left += window.step * offset.left;
  window.first_row = std::clamp<std::int64_t>(window.first_row - offset.top, 0, height);
  window.end_row = std::clamp(window.end_row - offset.top, window.first_row, height);
  window.first_column = std::clamp<std::int64_t>(window.first_column - offset.left, 0, width);
  window.end_column = std::clamp(window.end_column - offset.left, window.first_column, width);
  window.height = height;
  window.width = width;
  return window;
}

Window flipped(Window window) {
  window.left += window.step * (window.width - 1);
  window.step = -window.step;
  window.first_column = std::exchange(window.end_column, window.width - window.first_column);
  window.first_column = window.width - window.first_column;
  return window;
}

// The window that the crops and flips of `transforms` leave of an image of `shape`.
Window draw_window(const std::vector<Transform>& transforms, ImageShape shape, const SampleKey& key) {
  Window window = whole(shape);
  for (std::size_t place = 0; place < transforms.size(); ++place) {
    if (const auto* crop = std::get_if<RandomCrop>(&transforms[place])) {
      const CropOffset offset = draw(*crop, shape, key, place);
      shape = output_shape(transforms[place], shape);
      window = cropped(window, offset, shape.height, shape.width);
    } else if (const auto* flip = std::get_if<HorizontalFlip>(&transforms[place])) {
      if (draw(*flip, key, place)) window = flipped(window);
    }
  }
  return window;
}

// One pass fills the padding with what zero becomes, so a normalization must be the only one, and the last.
bool has_one_pass_form(const std::vector<Transform>& transforms) {
  const auto first = std::find_if(transforms.begin(), transforms.end(),
                                  [](const Transform& one) { return std::holds_alternative<Normalize>(one); });
  return first == transforms.end() || first + 1 == transforms.end();
}

std::vector<float> per_channel(const std::vector<float>& values, std::int64_t channels) {
  if (values.size() == 1) return std::vector<float>(static_cast<std::size_t>(channels), values[0]);
  return values;
}

}  // namespace

ImageWriter::ImageWriter(std::vector<Transform> transforms, const ImageShape& input, PixelOrder order)
    : transforms_(std::move(transforms)),
      input_(input),
      output_(data::output_shape(transforms_, input)),
      order_(order),
      is_fused_(has_one_pass_form(transforms_)) {
  const Normalize* normalize = transforms_.empty() ? nullptr : std::get_if<Normalize>(&transforms_.back());
  mean_ = per_channel(normalize != nullptr ? normalize->mean : std::vector<float>{0}, input.channels);
  stddev_ = per_channel(normalize != nullptr ? normalize->stddev : std::vector<float>{1}, input.channels);
  byte_table_.resize(mean_.size());
  for (std::size_t c = 0; c < byte_table_.size(); ++c) {
    for (int byte = 0; byte < 256; ++byte) {
      byte_table_[c][static_cast<std::size_t>(byte)] = (static_cast<float>(byte) / 255.0F - mean_[c]) / stddev_[c];
    }
  }
}

void ImageWriter::write(const std::uint8_t* image, const SampleKey& key, float* out) const {
  write_image(image, key, out);
}

void ImageWriter::write(const float* image, const SampleKey& key, float* out) const { write_image(image, key, out); }

template <class Pixel>
void ImageWriter::write_image(const Pixel* image, const SampleKey& key, float* out) const {
  if (!is_fused_) return write_in_steps(image, key, out);
  const Window window = draw_window(transforms_, input_, key);
  const std::int64_t input_plane = input_.height * input_.width;
  const std::int64_t output_plane = output_.height * output_.width;
  for (std::int64_t c = 0; c < input_.channels; ++c) {
    const auto channel = static_cast<std::size_t>(c);
    const float mean = mean_[channel], stddev = stddev_[channel];
    const Pixel* plane = image + c * input_plane;
    float* target = order_ == PixelOrder::channels_last ? out + c : out + c * output_plane;
    if constexpr (std::is_same_v<Pixel, std::uint8_t>) {
      const float* table = byte_table_[channel].data();
      write_plane(
          plane, window, table[0], [table](std::uint8_t byte) { return table[byte]; }, target);
    } else {
      const auto convert = [mean, stddev](float value) { return (value - mean) / stddev; };
      write_plane(plane, window, convert(0.0F), convert, target);
    }
  }
}

template <class Pixel, class Convert>
void ImageWriter::write_plane(const Pixel* plane, const Window& window, float fill, const Convert& convert,
                              float* out) const {
  const std::int64_t stride = order_ == PixelOrder::channels_last ? output_.channels : 1;
  const auto fill_pixels = [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t i = first; i < end; ++i) out[i * stride] = fill;
  };
  fill_pixels(0, window.first_row * window.width);
  for (std::int64_t y = window.first_row; y < window.end_row; ++y) {
    const std::int64_t row = y * window.width;
    fill_pixels(row, row + window.first_column);
    const std::int64_t source = (window.top + y) * input_.width + window.left;
    for (std::int64_t x = window.first_column; x < window.end_column; ++x) {
      out[(row + x) * stride] = convert(plane[source + window.step * x]);
    }
    fill_pixels(row + window.end_column, row + window.width);
  }
  fill_pixels(window.end_row * window.width, window.height * window.width);
}

template <class Pixel>
void ImageWriter::write_in_steps(const Pixel* image, const SampleKey& key, float* out) const {
  constexpr auto dtype = std::is_same_v<Pixel, std::uint8_t> ? at::kByte : at::kFloat;
  const at::Tensor view = at::from_blob(const_cast<Pixel*>(image), {input_.channels, input_.height, input_.width},
                                        at::TensorOptions(dtype));
  const at::Tensor result = apply(transforms_, view, key);
  const float* value = result.const_data_ptr<float>();
  const std::int64_t plane = output_.height * output_.width;
  for (std::int64_t c = 0; c < output_.channels; ++c) {
    for (std::int64_t i = 0; i < plane; ++i, ++value) {
      out[order_ == PixelOrder::channels_last ? i * output_.channels + c : c * plane + i] = *value;
    }
  }
}

}  // namespace limbeck::data
