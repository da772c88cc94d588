#include "limbeck/data/files/image_file.h"

#include "limbeck/core/files/file.h"
#include "limbeck/data/files/encoded_image.h"

namespace limbeck::data {

at::Tensor decode_image(std::span<const std::uint8_t> file, const std::string& name, Channels channels,
                        const ImageLimits& limits) {
  return EncodedImage(file, name, channels, limits).decode().contiguous();
}

at::Tensor read_image(const std::string& path, Channels channels, const ImageLimits& limits) {
  const std::string file = core::read_file(path, limits.max_file_bytes);
  return decode_image({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()}, path, channels, limits);
}

}  // namespace limbeck::data
