#include "limbeck/data/files/image_writer.h"

#include "limbeck/core/error.h"
#include "limbeck/data/transforms/pixels/pixels.h"
#include "limbeck/data/transforms/ranges.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <type_traits>
#include <utility>

namespace limbeck::data {

// An image's pixels in memory: channel c of pixel (y, x) is pixels[c * channel + y * row + x * column].
template <class Pixel>
struct ImageSource {
  const Pixel* pixels;
  ImageShape shape;
  std::int64_t channel, row, column;
};

// Where the pixels of a cropped and flipped image come from: output (y, x) shows input (top + row_step * y, left +
// column_step * x) for y in [first_row, end_row) and x in [first_column, end_column), and the padding elsewhere.
struct ImageWindow {
  std::int64_t height, width;
  std::int64_t top = 0, row_step = 1, left = 0, column_step = 1;
  std::int64_t first_row = 0, end_row, first_column = 0, end_column;
};

namespace {

ImageWindow whole(const ImageShape& shape) {
  return {.height = shape.height, .width = shape.width, .end_row = shape.height, .end_column = shape.width};
}

ImageWindow cropped(ImageWindow window, const Box& box) {
  window.top += window.row_step * box.top;
  window.left += window.column_step * box.left;
  window.first_row = std::clamp<std::int64_t>(window.first_row - box.top, 0, box.height);
  window.end_row = std::clamp(window.end_row - box.top, window.first_row, box.height);
  window.first_column = std::clamp<std::int64_t>(window.first_column - box.left, 0, box.width);
  window.end_column = std::clamp(window.end_column - box.left, window.first_column, box.width);
  window.height = box.height;
  window.width = box.width;
  return window;
}

ImageWindow mirrored(ImageWindow window) {
  window.left += window.column_step * (window.width - 1);
  window.column_step = -window.column_step;
  window.first_column = std::exchange(window.end_column, window.width - window.first_column);
  window.first_column = window.width - window.first_column;
  return window;
}

ImageWindow turned_over(ImageWindow window) {
  window.top += window.row_step * (window.height - 1);
  window.row_step = -window.row_step;
  window.first_row = std::exchange(window.end_row, window.height - window.first_row);
  window.first_row = window.height - window.first_row;
  return window;
}

// Whether it only says which pixel goes where, with zero around the image.
bool moves_pixels(const Transform& transform) {
  if (const auto* crop = std::get_if<RandomCrop>(&transform)) {
    return crop->padding == 0 || (crop->mode == PaddingMode::constant && crop->fill == 0);
  }
  return std::holds_alternative<CenterCrop>(transform) || std::holds_alternative<HorizontalFlip>(transform) ||
         std::holds_alternative<VerticalFlip>(transform);
}

ImageWindow draw_one(const Transform& transform, const ImageWindow& window, std::int64_t channels, const SampleKey& key,
                     std::size_t place) {
  if (const auto* random = std::get_if<RandomCrop>(&transform)) {
    const ImageShape shape{channels, window.height, window.width};
    const CropOffset offset = draw(*random, shape, key, place);
    const ImageShape size = output_shape(transform, shape);
    return cropped(window, {offset.top, offset.left, size.height, size.width});
  }
  if (const auto* center = std::get_if<CenterCrop>(&transform)) {
    return cropped(window, center_box({window.height, window.width}, to_size(center->size, "center_crop")));
  }
  if (const auto* flip = std::get_if<HorizontalFlip>(&transform)) {
    return draw(*flip, key, place) ? mirrored(window) : window;
  }
  if (const auto* flip = std::get_if<VerticalFlip>(&transform)) {
    return draw(*flip, key, place) ? turned_over(window) : window;
  }
  return window;
}

bool is_normalize(const Transform& transform) { return std::holds_alternative<Normalize>(transform); }

std::vector<float> per_channel(const std::vector<float>& values, std::int64_t channels) {
  if (values.size() == 1) return std::vector<float>(static_cast<std::size_t>(channels), values[0]);
  return values;
}

template <class Pixel>
ImageSource<Pixel> source_of(const at::Tensor& image) {
  return {image.const_data_ptr<Pixel>(), shape_of(image), image.stride(0), image.stride(1), image.stride(2)};
}

}  // namespace

ImageWriter::ImageWriter(std::vector<Transform> transforms, const ImageShape& input, PixelOrder order)
    : transforms_(std::move(transforms)),
      input_(input),
      output_(data::output_shape(transforms_, input)),
      order_(order) {
  LIMBECK_CHECK(!output_.is_open(),
                "[data] the images vary in size, and the transforms leave them so: a batch needs one size. Add "
                "random_resized_crop, center_crop or resize with height and width.");
  takes_any_size_ =
      input_.is_open() ||
      !data::output_shape(transforms_, {input_.channels, ImageShape::kVaries, ImageShape::kVaries}).is_open();
  // One pass fills the padding with what zero becomes, so what moves pixels must stand before the normalization.
  const auto normalize = std::find_if(transforms_.begin(), transforms_.end(), is_normalize);
  const auto end = normalize == transforms_.end() ? normalize : normalize + 1;
  has_one_pass_ = std::all_of(end, transforms_.end(),
                              [](const Transform& one) { return std::holds_alternative<RandomErasing>(one); });
  one_pass_end_ = static_cast<std::size_t>(end - transforms_.begin());
  one_pass_begin_ = static_cast<std::size_t>(normalize - transforms_.begin());
  while (one_pass_begin_ > 0 && moves_pixels(transforms_[one_pass_begin_ - 1])) --one_pass_begin_;
  const bool is_normalized = normalize != transforms_.end();
  mean_ = per_channel(is_normalized ? std::get<Normalize>(*normalize).mean : std::vector<float>{0}, output_.channels);
  stddev_ =
      per_channel(is_normalized ? std::get<Normalize>(*normalize).stddev : std::vector<float>{1}, output_.channels);
  tables_.resize(mean_.size());
  for (std::size_t c = 0; c < tables_.size(); ++c) {
    for (int byte = 0; byte < 256; ++byte) {
      tables_[c][static_cast<std::size_t>(byte)] = (static_cast<float>(byte) / 255.0F - mean_[c]) / stddev_[c];
    }
  }
}

void ImageWriter::write(const std::uint8_t* image, const SampleKey& key, float* out) const {
  write_raw(image, key, out);
}

void ImageWriter::write(const float* image, const SampleKey& key, float* out) const { write_raw(image, key, out); }

template <class Pixel>
void ImageWriter::write_raw(const Pixel* image, const SampleKey& key, float* out) const {
  LIMBECK_ASSERT(!input_.is_open(), "[data] pixels without a size");
  if (is_fused()) {
    return write_in_one_pass<Pixel>({image, input_, input_.height * input_.width, input_.width, 1}, key, out);
  }
  constexpr auto dtype = std::is_same_v<Pixel, std::uint8_t> ? at::kByte : at::kFloat;
  write_from(0,
             at::from_blob(const_cast<Pixel*>(image), {input_.channels, input_.height, input_.width},
                           at::TensorOptions(dtype)),
             key, out);
}

void ImageWriter::write(const at::Tensor& image, const SampleKey& key, float* out) const {
  const bool is_image = image.defined() && image.device().is_cpu() && image.dim() == 3 && image.numel() > 0 &&
                        image.size(0) == input_.channels;
  LIMBECK_CHECK(is_image, "the image must be a tensor {} on the CPU.", to_string(input_));
  LIMBECK_CHECK(takes_any_size_ || shape_of(image) == input_,
                "the image is {}, where the dataset's are {}, and a batch needs one size. Add random_resized_crop, "
                "center_crop or resize with height and width.",
                to_string(shape_of(image)), to_string(input_));
  LIMBECK_CHECK(image.scalar_type() == at::kByte || image.scalar_type() == at::kFloat,
                "the image must be uint8 or float32, got {}.", c10::toString(image.scalar_type()));
  write_from(0, image, key, out);
}

void ImageWriter::write(const EncodedImage& image, DecodeScale scale, const SampleKey& key, float* out) const {
  const auto* crop = transforms_.empty() ? nullptr : std::get_if<RandomResizedCrop>(&transforms_.front());
  if (crop == nullptr) return write(image.decode(), key, out);
  const Size size = to_size(crop->size, "random_resized_crop");
  const Box box = draw(*crop, {image.height(), image.width()}, key, 0);
  const at::Tensor part =
      image.decode({.box = box, .scale = scale, .min_height = size.height, .min_width = size.width});
  write_from(1, resize(part, size, crop->interpolation), key, out);
}

void ImageWriter::write_from(std::size_t place, at::Tensor image, const SampleKey& key, float* out) const {
  const std::size_t end = has_one_pass_ ? one_pass_begin_ : transforms_.size();
  for (; place < end; ++place) image = apply(transforms_[place], image, key, place);
  if (!has_one_pass_) return copy_out(image.to(at::kFloat), out);
  if (image.scalar_type() == at::kByte) {
    write_in_one_pass(source_of<std::uint8_t>(image), key, out);
  } else {
    write_in_one_pass(source_of<float>(image), key, out);
  }
}

template <class Pixel>
void ImageWriter::write_in_one_pass(const ImageSource<Pixel>& source, const SampleKey& key, float* out) const {
  ImageWindow window = whole(source.shape);
  for (std::size_t place = one_pass_begin_; place < one_pass_end_; ++place) {
    window = draw_one(transforms_[place], window, source.shape.channels, key, place);
  }
  LIMBECK_ASSERT(window.height == output_.height && window.width == output_.width, "[data] an image of {}x{}",
                 window.height, window.width);
  for (std::int64_t c = 0; c < output_.channels; ++c) {
    if constexpr (std::is_same_v<Pixel, std::uint8_t>) {
      const float* table = tables_[static_cast<std::size_t>(c)].data();
      write_channel(
          source, window, c, [table](std::uint8_t byte) { return table[byte]; }, out);
    } else {
      const float mean = mean_[static_cast<std::size_t>(c)], stddev = stddev_[static_cast<std::size_t>(c)];
      write_channel(
          source, window, c, [=](float value) { return (value - mean) / stddev; }, out);
    }
  }
  erase_in(out, key);
}

template <class Pixel, class Convert>
void ImageWriter::write_channel(const ImageSource<Pixel>& source, const ImageWindow& window, std::int64_t channel,
                                const Convert& convert, float* out) const {
  const bool is_last = order_ == PixelOrder::channels_last;
  const std::int64_t stride = is_last ? output_.channels : 1;
  out += is_last ? channel : channel * output_.height * output_.width;
  const float fill = convert(Pixel{0});
  const auto fill_pixels = [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t i = first; i < end; ++i) out[i * stride] = fill;
  };
  fill_pixels(0, window.first_row * window.width);
  for (std::int64_t y = window.first_row; y < window.end_row; ++y) {
    const std::int64_t row = y * window.width, step = window.column_step * source.column;
    fill_pixels(row, row + window.first_column);
    const Pixel* from = source.pixels + channel * source.channel + (window.top + window.row_step * y) * source.row +
                        window.left * source.column;
    for (std::int64_t x = window.first_column; x < window.end_column; ++x) {
      out[(row + x) * stride] = convert(from[step * x]);
    }
    fill_pixels(row + window.end_column, row + window.width);
  }
  fill_pixels(window.end_row * window.width, window.height * window.width);
}

void ImageWriter::copy_out(const at::Tensor& image, float* out) const {
  const std::int64_t c = output_.channels, h = output_.height, w = output_.width;
  const bool is_last = order_ == PixelOrder::channels_last;
  const std::vector<std::int64_t> strides =
      is_last ? std::vector<std::int64_t>{1, w * c, c} : std::vector<std::int64_t>{h * w, w, 1};
  at::from_blob(out, {c, h, w}, strides, at::TensorOptions(at::kFloat)).copy_(image);
}

void ImageWriter::erase_in(float* out, const SampleKey& key) const {
  const bool is_last = order_ == PixelOrder::channels_last;
  const FloatImage image{.values = out,
                         .channels = output_.channels,
                         .channel = is_last ? 1 : output_.height * output_.width,
                         .row = is_last ? output_.width * output_.channels : output_.width,
                         .column = is_last ? output_.channels : 1};
  for (std::size_t place = one_pass_end_; place < transforms_.size(); ++place) {
    const auto& erasing = std::get<RandomErasing>(transforms_[place]);
    const auto box = draw(erasing, {output_.height, output_.width}, key, place);
    if (box) erase(erasing, *box, image, key, place);
  }
}

}  // namespace limbeck::data
