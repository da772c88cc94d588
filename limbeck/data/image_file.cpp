#include "limbeck/data/image_file.h"

#include "limbeck/core/error.h"
#include "limbeck/core/file.h"
#include "limbeck/data/raster.h"

#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>

namespace limbeck::data {
namespace {

constexpr std::array<std::uint8_t, 8> kPngSignature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::array<std::uint8_t, 3> kJpegSignature{0xff, 0xd8, 0xff};

template <std::size_t N>
bool starts_with(std::span<const std::uint8_t> file, const std::array<std::uint8_t, N>& signature) {
  return file.size() >= N && std::equal(signature.begin(), signature.end(), file.begin());
}

// ITU-R 601-2 luma in the fixed-point form that Pillow's convert("L") has.
std::uint8_t luma(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((rgb[0] * 19595U + rgb[1] * 38470U + rgb[2] * 7471U + 0x8000U) >> 16);
}

at::Tensor to_planes(const Raster& raster, Channels channels) {
  const auto num_channels = static_cast<std::int64_t>(channels);
  at::Tensor image = at::empty({num_channels, raster.height, raster.width}, at::kByte);
  auto* out = image.mutable_data_ptr<std::uint8_t>();
  const std::int64_t plane = raster.height * raster.width;
  const bool to_gray = raster.channels == 3 && channels == Channels::gray;
  for (std::int64_t c = 0; c < num_channels; ++c) {
    const std::uint8_t* pixel = raster.bytes.data() + (raster.channels == 3 && !to_gray ? c : 0);
    for (std::int64_t i = 0; i < plane; ++i, pixel += raster.channels) *out++ = to_gray ? luma(pixel) : *pixel;
  }
  return image;
}

}  // namespace

void check_sides(std::uint64_t height, std::uint64_t width, const std::string& name, const ImageLimits& limits) {
  const auto max_pixels = static_cast<std::uint64_t>(limits.max_pixels);
  if (height == 0 || width == 0 || height > max_pixels / width) {
    fail<IoError>("[image] {} must have 1 to {} pixels, got {}x{}. Scale it down.", name, max_pixels, height, width);
  }
}

at::Tensor decode_image(std::span<const std::uint8_t> file, const std::string& name, Channels channels,
                        const ImageLimits& limits) {
  if (starts_with(file, kPngSignature)) return to_planes(decode_png(file, name, limits), channels);
  if (starts_with(file, kJpegSignature)) return to_planes(decode_jpeg(file, name, limits), channels);
  fail<IoError>("[image] {} is neither PNG nor JPEG. Convert it to one of them.", name);
}

at::Tensor read_image(const std::string& path, Channels channels, const ImageLimits& limits) {
  const std::string file = core::read_file(path, limits.max_file_bytes);
  return decode_image({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()}, path, channels, limits);
}

at::Tensor resize(const at::Tensor& image, std::int64_t height, std::int64_t width) {
  LIMBECK_CHECK(image.defined() && image.dim() == 3 && image.scalar_type() == at::kByte && image.numel() > 0,
                "[image] resize needs a uint8 image [C, H, W] with at least one pixel.");
  LIMBECK_CHECK(height >= 1 && width >= 1, "[image] an image cannot be resized to {}x{}.", height, width);
  if (image.size(1) == height && image.size(2) == width) return image;
  const at::Tensor batch = image.unsqueeze(0).to(at::kFloat);
  const at::Tensor resized = at::_upsample_bilinear2d_aa(batch, {height, width}, /*align_corners=*/false);
  return resized.squeeze(0).round_().clamp_(0, 255).to(at::kByte);
}

}  // namespace limbeck::data
