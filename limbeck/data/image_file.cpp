#include "limbeck/data/image_file.h"

#include "limbeck/core/error.h"
#include "limbeck/core/file.h"
#include "limbeck/data/encoded_image.h"

#include <ATen/ops/_upsample_bilinear2d_aa.h>

namespace limbeck::data {

at::Tensor decode_image(std::span<const std::uint8_t> file, const std::string& name, Channels channels,
                        const ImageLimits& limits) {
  return EncodedImage(file, name, channels, limits).decode().contiguous();
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
