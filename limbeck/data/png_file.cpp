#include "limbeck/core/error.h"
#include "limbeck/data/raster.h"

#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

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
  std::snprintf(reader->message, sizeof reader->message, "%s", message);
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

// Reads up to the pixels and has them come as 8-bit gray or RGB. False after an error.
bool read_header(PngReader& reader) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_read_fn(reader.png, &reader, read_bytes);
  png_read_info(reader.png, reader.info);
  png_set_strip_16(reader.png);
  png_set_expand(reader.png);
  png_set_strip_alpha(reader.png);
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

}  // namespace

Raster decode_png(std::span<const std::uint8_t> file, const std::string& name, const ImageLimits& limits) {
  PngReader reader;
  reader.next = file.data();
  reader.left = file.size();
  const PngCloser closer{reader};
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  if (reader.png != nullptr) reader.info = png_create_info_struct(reader.png);
  if (reader.info == nullptr) fail<IoError>("[image] {}: libpng could not start.", name);
  png_set_chunk_malloc_max(reader.png, png_alloc_size_t{8} << 20);
  if (!read_header(reader)) fail_damaged(name, reader);
  const png_uint_32 height = png_get_image_height(reader.png, reader.info);
  const png_uint_32 width = png_get_image_width(reader.png, reader.info);
  check_sides(height, width, name, limits);
  Raster raster{height, width, png_get_channels(reader.png, reader.info), {}};
  raster.bytes.resize(std::size_t{height} * png_get_rowbytes(reader.png, reader.info));
  std::vector<png_bytep> rows;
  for (png_uint_32 y = 0; y < height; ++y)
    rows.push_back(raster.bytes.data() + std::size_t{y} * width * raster.channels);
  if (!read_pixels(reader, rows.data())) fail_damaged(name, reader);
  return raster;
}

}  // namespace limbeck::data
