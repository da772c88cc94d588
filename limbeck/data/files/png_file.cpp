#include "limbeck/core/error.h"
#include "limbeck/data/files/orientation.h"
#include "limbeck/data/files/raster.h"

#include <ATen/ops/empty.h>
#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

namespace limbeck::data {
namespace {

// Everything that libpng's callbacks and the code between setjmp and longjmp touch: an error jumps over that code, so
// it must own nothing that has a destructor.
struct PngReader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  const std::uint8_t* next = nullptr;
  std::size_t left = 0;
  char message[160] = "";
};

struct PngCloser {
  PngReader& reader;
  ~PngCloser() { png_destroy_read_struct(&reader.png, &reader.info, nullptr); }
};

void on_error(png_structp png, png_const_charp message) {
  auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
  (void)std::snprintf(reader->message, sizeof reader->message, "%s", message);
  longjmp(png_jmpbuf(png), 1);
}

void on_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep out, png_size_t count) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
  if (count > reader->left) png_error(png, "it is truncated");
  std::memcpy(out, reader->next, count);
  reader->next += count;
  reader->left -= count;
}

// Reads up to the pixels. False after an error.
bool read_info(PngReader& reader) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_read_fn(reader.png, &reader, read_bytes);
  png_read_info(reader.png, reader.info);
  return true;
}

// Has the pixels come as 8-bit gray or RGB, as RGB alone if colours are asked for. False after an error.
bool choose_output(PngReader& reader, Channels channels) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_strip_16(reader.png);
  png_set_expand(reader.png);
  png_set_strip_alpha(reader.png);
  if (channels == Channels::rgb) png_set_gray_to_rgb(reader.png);
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  return true;
}

// Reads the pixels into `rows`. False after an error.
bool read_pixels(PngReader& reader, png_bytepp rows) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_read_image(reader.png, rows);
  png_read_end(reader.png, nullptr);
  return true;
}

[[noreturn]] void fail_damaged(const std::string& name, const PngReader& reader) {
  fail<IoError>("[image] {} cannot be read as PNG: {}. Fetch the file again.", name, reader.message);
}

void open(PngReader& reader, std::span<const std::uint8_t> file, const std::string& name, const ImageLimits& limits) {
  reader.next = file.data();
  reader.left = file.size();
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  if (reader.png != nullptr) reader.info = png_create_info_struct(reader.png);
  if (reader.info == nullptr) fail<IoError>("[image] {}: libpng could not start.", name);
  png_set_chunk_malloc_max(reader.png, png_alloc_size_t{8} << 20);
  if (!read_info(reader)) fail_damaged(name, reader);
  check_sides(png_get_image_height(reader.png, reader.info), png_get_image_width(reader.png, reader.info), name,
              limits);
}

// Of the chunk eXIf, if it stands before the pixels, as it does in what Pillow and cameras write.
Orientation orientation_of(const PngReader& reader) {
  png_uint_32 num_bytes = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(reader.png, reader.info, &num_bytes, &exif) == 0) return Orientation::upright;
  return parse_exif_orientation({exif, num_bytes});
}

}  // namespace

ImageHeader read_png_header(std::span<const std::uint8_t> file, const std::string& name, const ImageLimits& limits) {
  PngReader reader;
  const PngCloser closer{reader};
  open(reader, file, name, limits);
  return {png_get_image_height(reader.png, reader.info), png_get_image_width(reader.png, reader.info),
          orientation_of(reader)};
}

at::Tensor decode_png(std::span<const std::uint8_t> file, const std::string& name, Channels channels,
                      const ImageLimits& limits) {
  PngReader reader;
  const PngCloser closer{reader};
  open(reader, file, name, limits);
  if (!choose_output(reader, channels)) fail_damaged(name, reader);
  const std::int64_t height = png_get_image_height(reader.png, reader.info);
  const std::int64_t width = png_get_image_width(reader.png, reader.info);
  at::Tensor pixels = at::empty({height, width, png_get_channels(reader.png, reader.info)}, at::kByte);
  std::vector<png_bytep> rows;
  auto* first = pixels.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t y = 0; y < height; ++y) rows.push_back(first + y * pixels.stride(0));
  if (!read_pixels(reader, rows.data())) fail_damaged(name, reader);
  return pixels;
}

}  // namespace limbeck::data
