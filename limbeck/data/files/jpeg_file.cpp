#include "limbeck/core/error.h"
#include "limbeck/data/files/orientation.h"
#include "limbeck/data/files/raster.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include <jpeglib.h>  // after cstdio, which it needs

#include <jerror.h>

namespace limbeck::data {
namespace {

// A progressive file of a few bytes can name millions of scans, each of which costs a pass over the image.
constexpr int kMaxScans = 500;
constexpr int kExifMarker = JPEG_APP0 + 1;
constexpr unsigned kMaxMarkerBytes = 0xffff;
constexpr std::size_t kExifPrefixBytes = 6;  // "Exif\0\0"
constexpr std::int64_t kUpsamplingMargin = 2;

// As in PngReader, nothing here has a destructor: an error jumps.
struct JpegReader {
  jpeg_decompress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  std::jmp_buf on_error;
  char message[JMSG_LENGTH_MAX] = "";
  bool is_truncated = false;
};

struct JpegCloser {
  JpegReader& reader;
  ~JpegCloser() { jpeg_destroy_decompress(&reader.jpeg); }
};

// What of the scaled image is read: rows [top, top + height), and columns of which the first `skipped_columns` and what
// lies beyond `width` come along, since libjpeg begins at a block's edge.
struct JpegWindow {
  JDIMENSION top, height;
  JDIMENSION left, width;
  JDIMENSION skipped_columns = 0;
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

void limit_scans(j_common_ptr jpeg) {
  auto* reader = static_cast<JpegReader*>(jpeg->client_data);
  if (reader->jpeg.input_scan_number <= kMaxScans) return;
  (void)std::snprintf(reader->message, sizeof reader->message, "it has more than %d scans", kMaxScans);
  std::longjmp(reader->on_error, 1);
}

// False after an error.
bool create(JpegReader& reader) {
  reader.jpeg.err = jpeg_std_error(&reader.errors);
  reader.errors.error_exit = error_exit;
  reader.errors.emit_message = emit_message;
  reader.jpeg.client_data = &reader;
  if (setjmp(reader.on_error)) return false;
  jpeg_create_decompress(&reader.jpeg);
  reader.progress.progress_monitor = limit_scans;
  reader.jpeg.progress = &reader.progress;
  return true;
}

enum class ExifBlock { keep, drop };

bool read_header(JpegReader& reader, std::span<const std::uint8_t> file, ExifBlock exif) {
  if (setjmp(reader.on_error)) return false;
  jpeg_mem_src(&reader.jpeg, file.data(), static_cast<unsigned long>(file.size()));
  if (exif == ExifBlock::keep) jpeg_save_markers(&reader.jpeg, kExifMarker, kMaxMarkerBytes);
  jpeg_read_header(&reader.jpeg, TRUE);
  return true;
}

bool is_cmyk(const jpeg_decompress_struct& jpeg) {
  return jpeg.jpeg_color_space == JCS_CMYK || jpeg.jpeg_color_space == JCS_YCCK;
}

J_COLOR_SPACE output_space(const jpeg_decompress_struct& jpeg, Channels channels) {
  if (is_cmyk(jpeg)) return JCS_CMYK;
  return jpeg.jpeg_color_space == JCS_GRAYSCALE && channels == Channels::gray ? JCS_GRAYSCALE : JCS_RGB;
}

JDIMENSION scaled_edge(std::int64_t edge, int downscale) {
  return static_cast<JDIMENSION>((edge + downscale / 2) / downscale);
}

// The box in pixels of the scaled image, at least one each way.
JpegWindow scaled_window(const jpeg_decompress_struct& jpeg, const ImageBox& box, int downscale) {
  JpegWindow window{};
  window.top = std::min(scaled_edge(box.top, downscale), jpeg.output_height - 1);
  window.left = std::min(scaled_edge(box.left, downscale), jpeg.output_width - 1);
  const JDIMENSION bottom = std::min(scaled_edge(box.top + box.height, downscale), jpeg.output_height);
  const JDIMENSION right = std::min(scaled_edge(box.left + box.width, downscale), jpeg.output_width);
  window.height = std::max(bottom, window.top + 1) - window.top;
  window.width = std::max(right, window.left + 1) - window.left;
  return window;
}

// Has libjpeg give only the blocks that hold the window's columns, and a margin: where chroma is interpolated, the
// outermost columns of what it gives lack a neighbour.
void select_columns(jpeg_decompress_struct& jpeg, JpegWindow& window) {
  if (window.width == jpeg.output_width) return;
  const auto wanted_left = static_cast<std::int64_t>(window.left);
  JDIMENSION left = static_cast<JDIMENSION>(std::max<std::int64_t>(wanted_left - kUpsamplingMargin, 0));
  const JDIMENSION right = std::min<JDIMENSION>(window.left + window.width + kUpsamplingMargin, jpeg.output_width);
  JDIMENSION width = right - left;
  jpeg_crop_scanline(&jpeg, &left, &width);
  window.skipped_columns = window.left - left;
}

// Sets reader.jpeg up for the window's rows; fills the window. False after an error.
bool start(JpegReader& reader, Channels channels, const ImageBox& box, int downscale, JpegWindow& window) {
  if (setjmp(reader.on_error)) return false;
  jpeg_decompress_struct& jpeg = reader.jpeg;
  jpeg.out_color_space = output_space(jpeg, channels);
  jpeg.scale_num = 1;
  jpeg.scale_denom = static_cast<unsigned>(downscale);
  jpeg_start_decompress(&jpeg);
  window = scaled_window(jpeg, box, downscale);
  select_columns(jpeg, window);
  if (window.top > 0) jpeg_skip_scanlines(&jpeg, window.top);
  return true;
}

// Reads `num_rows` rows of `row_bytes` bytes. False after an error.
bool read_rows(JpegReader& reader, JDIMENSION num_rows, std::size_t row_bytes, std::uint8_t* out) {
  if (setjmp(reader.on_error)) return false;
  for (JDIMENSION row = 0; row < num_rows; ++row) {
    JSAMPROW pointer = out + row * row_bytes;
    jpeg_read_scanlines(&reader.jpeg, &pointer, 1);
    if (reader.is_truncated) return true;  // no need to decode what is not there
  }
  return true;
}

// Whether an end of image follows what has been read. Without it the file is cut off, whatever part of it is decoded.
bool has_end(const jpeg_decompress_struct& jpeg, std::span<const std::uint8_t> file) {
  constexpr std::uint8_t kEnd[] = {0xff, JPEG_EOI};
  const auto rest = file.last(jpeg.src->bytes_in_buffer);
  return std::find_end(rest.begin(), rest.end(), std::begin(kEnd), std::end(kEnd)) != rest.end();
}

// Adobe's programs store CMYK inverted, and others follow them, so 255 is no ink. What is left of the light is the
// product of what each ink leaves, rounded.
void cmyk_to_rgb(const std::uint8_t* cmyk, std::int64_t num_pixels, std::uint8_t* rgb) {
  for (; num_pixels > 0; --num_pixels, cmyk += 4, rgb += 3) {
    const int light = cmyk[3];
    for (int c = 0; c < 3; ++c) {
      rgb[c] = static_cast<std::uint8_t>(light - ((255 - cmyk[c]) * light + 127) / 255);
    }
  }
}

at::Tensor to_rgb(const at::Tensor& cmyk) {
  at::Tensor rgb = at::empty({cmyk.size(0), cmyk.size(1), 3}, at::kByte);
  cmyk_to_rgb(cmyk.const_data_ptr<std::uint8_t>(), cmyk.size(0) * cmyk.size(1), rgb.mutable_data_ptr<std::uint8_t>());
  return rgb;
}

Orientation orientation_of(const jpeg_decompress_struct& jpeg) {
  for (auto* marker = jpeg.marker_list; marker != nullptr; marker = marker->next) {
    if (marker->marker != kExifMarker || marker->data_length < kExifPrefixBytes) continue;
    if (std::memcmp(marker->data, "Exif\0\0", kExifPrefixBytes) != 0) continue;
    return parse_exif_orientation({marker->data + kExifPrefixBytes, marker->data_length - kExifPrefixBytes});
  }
  return Orientation::upright;
}

[[noreturn]] void fail_damaged(const std::string& name, const char* message) {
  fail<IoError>("[image] {} cannot be read as JPEG: {}. Fetch the file again.", name, message);
}

}  // namespace

ImageHeader read_jpeg_header(std::span<const std::uint8_t> file, const std::string& name, const ImageLimits& limits) {
  JpegReader reader{};
  const JpegCloser closer{reader};
  if (!create(reader) || !read_header(reader, file, ExifBlock::keep)) fail_damaged(name, reader.message);
  const jpeg_decompress_struct& jpeg = reader.jpeg;
  check_sides(jpeg.image_height, jpeg.image_width, name, limits);
  return {jpeg.image_height, jpeg.image_width, orientation_of(jpeg)};
}

at::Tensor decode_jpeg(std::span<const std::uint8_t> file, const std::string& name, Channels channels,
                       const ImageBox& box, int downscale, const ImageLimits& limits) {
  JpegReader reader{};
  const JpegCloser closer{reader};
  if (!create(reader) || !read_header(reader, file, ExifBlock::drop)) fail_damaged(name, reader.message);
  check_sides(reader.jpeg.image_height, reader.jpeg.image_width, name, limits);
  if (!has_end(reader.jpeg, file)) fail_damaged(name, "it is truncated");
  JpegWindow window{};
  if (!start(reader, channels, box, downscale, window)) fail_damaged(name, reader.message);
  const std::int64_t row_pixels = reader.jpeg.output_width, depth = reader.jpeg.output_components;
  const at::Tensor rows = at::empty({window.height, row_pixels, depth}, at::kByte);
  if (!read_rows(reader, window.height, static_cast<std::size_t>(row_pixels * depth),
                 rows.mutable_data_ptr<std::uint8_t>())) {
    fail_damaged(name, reader.message);
  }
  if (reader.is_truncated) fail_damaged(name, "it is truncated");
  const at::Tensor pixels = is_cmyk(reader.jpeg) ? to_rgb(rows) : rows;
  return pixels.narrow(1, window.skipped_columns, window.width);
}

}  // namespace limbeck::data
