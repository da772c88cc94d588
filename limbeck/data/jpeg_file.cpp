#include "limbeck/core/error.h"
#include "limbeck/data/raster.h"

#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>  // after cstdio, which it needs

#include <jerror.h>

namespace limbeck::data {
namespace {

// As in PngReader, nothing here has a destructor: an error jumps.
struct JpegReader {
  jpeg_decompress_struct jpeg;
  jpeg_error_mgr errors;
  std::jmp_buf on_error;
  char message[JMSG_LENGTH_MAX] = "";
  bool is_truncated = false;
};

struct JpegCloser {
  JpegReader& reader;
  ~JpegCloser() { jpeg_destroy_decompress(&reader.jpeg); }
};

void error_exit(j_common_ptr jpeg) {
  auto* reader = static_cast<JpegReader*>(jpeg->client_data);
  jpeg->err->format_message(jpeg, reader->message);
  std::longjmp(reader->on_error, 1);
}

// libjpeg fills what a truncated file lacks with gray and calls that a warning.
void emit_message(j_common_ptr jpeg, int level) {
  const int code = jpeg->err->msg_code;
  if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER)) {
    static_cast<JpegReader*>(jpeg->client_data)->is_truncated = true;
  }
}

// False after an error.
bool create(JpegReader& reader) {
  reader.jpeg.err = jpeg_std_error(&reader.errors);
  reader.errors.error_exit = error_exit;
  reader.errors.emit_message = emit_message;
  reader.jpeg.client_data = &reader;
  if (setjmp(reader.on_error)) return false;
  jpeg_create_decompress(&reader.jpeg);
  return true;
}

bool read_header(JpegReader& reader, std::span<const std::uint8_t> file) {
  if (setjmp(reader.on_error)) return false;
  jpeg_mem_src(&reader.jpeg, file.data(), static_cast<unsigned long>(file.size()));
  jpeg_read_header(&reader.jpeg, TRUE);
  return true;
}

bool read_pixels(JpegReader& reader, Raster& raster) {
  if (setjmp(reader.on_error)) return false;
  jpeg_decompress_struct& jpeg = reader.jpeg;
  jpeg.out_color_space = raster.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&jpeg);
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row = raster.bytes.data() + std::size_t{jpeg.output_scanline} * jpeg.output_width * raster.channels;
    jpeg_read_scanlines(&jpeg, &row, 1);
    if (reader.is_truncated) return true;  // no need to decode what is not there
  }
  jpeg_finish_decompress(&jpeg);
  return true;
}

[[noreturn]] void fail_damaged(const std::string& name, const char* message) {
  fail<IoError>("[image] {} cannot be read as JPEG: {}. Fetch the file again.", name, message);
}

}  // namespace

Raster decode_jpeg(std::span<const std::uint8_t> file, const std::string& name, const ImageLimits& limits) {
  JpegReader reader{};
  const JpegCloser closer{reader};
  if (!create(reader) || !read_header(reader, file)) fail_damaged(name, reader.message);
  const jpeg_decompress_struct& jpeg = reader.jpeg;
  check_sides(jpeg.image_height, jpeg.image_width, name, limits);
  if (jpeg.jpeg_color_space == JCS_CMYK || jpeg.jpeg_color_space == JCS_YCCK) {
    fail<Unsupported>("[image] {} is a JPEG in CMYK. Convert it to RGB.", name);
  }
  Raster raster{jpeg.image_height, jpeg.image_width, jpeg.jpeg_color_space == JCS_GRAYSCALE ? 1 : 3, {}};
  raster.bytes.resize(static_cast<std::size_t>(raster.height * raster.width * raster.channels));
  if (!read_pixels(reader, raster)) fail_damaged(name, reader.message);
  if (reader.is_truncated) fail_damaged(name, "it is truncated");
  return raster;
}

}  // namespace limbeck::data
