#include "limbeck/data/files/encoded_image.h"

#include "limbeck/core/error.h"
#include "limbeck/data/files/orientation.h"
#include "limbeck/data/files/raster.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <utility>

namespace limbeck::data {
namespace {

constexpr std::array<std::uint8_t, 8> kPngSignature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::array<std::uint8_t, 3> kJpegSignature{0xff, 0xd8, 0xff};
// The sizes at which libjpeg-turbo has vectorised inverse transforms.
constexpr std::array<int, 3> kDownscales{8, 4, 2};

template <std::size_t N>
bool starts_with(std::span<const std::uint8_t> file, const std::array<std::uint8_t, N>& signature) {
  return file.size() >= N && std::equal(signature.begin(), signature.end(), file.begin());
}

// ITU-R 601-2 luma in the fixed-point form that Pillow's convert("L") has.
std::uint8_t luma(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((rgb[0] * 19595U + rgb[1] * 38470U + rgb[2] * 7471U + 0x8000U) >> 16);
}

// [height, width, 3] to [height, width, 1].
at::Tensor to_gray(const at::Tensor& colours) {
  const at::Tensor dense = colours.contiguous();
  at::Tensor gray = at::empty({dense.size(0), dense.size(1), 1}, at::kByte);
  const auto* rgb = dense.const_data_ptr<std::uint8_t>();
  auto* out = gray.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t i = 0; i < gray.numel(); ++i) out[i] = luma(rgb + 3 * i);
  return gray;
}

int choose_downscale(const DecodeRequest& request) {
  if (request.scale == DecodeScale::exact) return 1;
  const std::int64_t height = std::max<std::int64_t>(request.min_height, 1);
  const std::int64_t width = std::max<std::int64_t>(request.min_width, 1);
  for (const int downscale : kDownscales) {
    if (request.box.height >= height * downscale && request.box.width >= width * downscale) return downscale;
  }
  return 1;
}

}  // namespace

void check_sides(std::uint64_t height, std::uint64_t width, const std::string& name, const ImageLimits& limits) {
  const auto max_pixels = static_cast<std::uint64_t>(limits.max_pixels);
  if (height == 0 || width == 0 || height > max_pixels / width) {
    fail<IoError>("[image] {} must have 1 to {} pixels, got {}x{}. Scale it down.", name, max_pixels, height, width);
  }
}

EncodedImage::EncodedImage(std::span<const std::uint8_t> file, std::string name, Channels channels,
                           const ImageLimits& limits)
    : file_(file), name_(std::move(name)), channels_(channels), limits_(limits) {
  if (starts_with(file, kPngSignature)) {
    format_ = Format::png;
  } else if (starts_with(file, kJpegSignature)) {
    format_ = Format::jpeg;
  } else {
    fail<IoError>("[image] {} is neither PNG nor JPEG. Convert it to one of them.", name_);
  }
  const ImageHeader header =
      format_ == Format::png ? read_png_header(file, name_, limits) : read_jpeg_header(file, name_, limits);
  orientation_ = header.orientation;
  height_ = header.height;
  width_ = header.width;
  if (swaps_sides(orientation_)) std::swap(height_, width_);
}

at::Tensor EncodedImage::decode() const { return decode({.box = {0, 0, height_, width_}}); }

at::Tensor EncodedImage::decode(const DecodeRequest& request) const {
  const ImageBox& box = request.box;
  LIMBECK_CHECK(box.top >= 0 && box.left >= 0 && box.height >= 1 && box.width >= 1 && box.height <= height_ &&
                    box.width <= width_ && box.top <= height_ - box.height && box.left <= width_ - box.width,
                "[image] {} is {}x{}: no box of {}x{} pixels lies at ({}, {}).", name_, height_, width_, box.height,
                box.width, box.top, box.left);
  const bool swaps = swaps_sides(orientation_);
  const ImageBox stored = stored_box(orientation_, box, swaps ? width_ : height_, swaps ? height_ : width_);
  at::Tensor pixels;
  if (format_ == Format::jpeg) {
    pixels = decode_jpeg(file_, name_, channels_, stored, choose_downscale(request), limits_);
  } else {
    const at::Tensor whole = decode_png(file_, name_, channels_, limits_);
    pixels = whole.narrow(0, stored.top, stored.height).narrow(1, stored.left, stored.width);
  }
  if (channels_ == Channels::gray && pixels.size(2) == 3) pixels = to_gray(pixels);
  return turned(pixels, orientation_).permute({2, 0, 1});
}

}  // namespace limbeck::data
