// A PNG or JPEG file of which the size is known before its pixels are: so a crop can be drawn first and only what it
// shows be decoded. A file is untrusted: its size and its dimensions are checked before anything is decoded.
#pragma once

#include "limbeck/data/files/image_file.h"

#include <string>

namespace limbeck::data {

/// A rectangle of an image, in pixels from its top left corner.
struct ImageBox {
  std::int64_t top = 0;
  std::int64_t left = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;

  bool operator==(const ImageBox&) const = default;
};

/// Whether a decoder may give a smaller image than the file holds. `exact`: it gives the file's pixels. `scaled`: it
/// may give the box at 1/2, 1/4 or 1/8 of its size, which saves most of a large JPEG's inverse transform and differs
/// from decoding and then resizing by what two ways of averaging differ by: for augmented training, never for
/// evaluation.
enum class DecodeScale { exact, scaled };

/// What is needed of an image. `scaled` goes no further than to a box of at least min_height x min_width pixels: the
/// size to which the box is going to be resized.
struct DecodeRequest {
  ImageBox box;
  DecodeScale scale = DecodeScale::exact;
  std::int64_t min_height = 0;
  std::int64_t min_width = 0;
};

/// How the file's rows and columns become the image's: the values of the EXIF tag Orientation. Applied as Pillow's
/// ImageOps.exif_transpose does.
enum class Orientation : std::uint8_t {
  upright = 1,
  mirrored = 2,
  rotated_180 = 3,
  flipped = 4,
  transposed = 5,
  rotated_clockwise = 6,  ///< the file's pixels must be turned clockwise by 90 degrees
  transversed = 7,
  rotated_counterclockwise = 8
};

/// May be used by several threads at once. Refers to the file's bytes, which must outlive it.
class EncodedImage {
 public:
  /// Reads the header. `name` is what messages call the file; `channels` what decode gives. Throws IoError, naming the
  /// file, if it is neither PNG nor JPEG, its header is damaged, or it is beyond a limit.
  EncodedImage(std::span<const std::uint8_t> file, std::string name, Channels channels, const ImageLimits& limits = {});

  /// Of the whole image as it is to be seen: its orientation is applied.
  std::int64_t height() const { return height_; }
  std::int64_t width() const { return width_; }
  const std::string& name() const { return name_; }

  /// The whole image, or the pixels of a box: uint8 [C, height, width], a view of [height, width, C] memory. With
  /// DecodeScale::exact the box is what the same box of the whole is, in every bit; of a scaled one, sides and place
  /// are rounded to whole pixels. Of a JPEG, rows below the box are not read and columns beside it not transformed.
  /// Throws IoError, naming the file, if it is damaged or truncated, and InvalidArgument if the box is empty or reaches
  /// beyond the image.
  at::Tensor decode() const;
  at::Tensor decode(const DecodeRequest& request) const;

 private:
  std::span<const std::uint8_t> file_;
  std::string name_;
  Channels channels_;
  ImageLimits limits_;
  enum class Format { png, jpeg } format_;
  Orientation orientation_ = Orientation::upright;
  std::int64_t height_ = 0;
  std::int64_t width_ = 0;
};

}  // namespace limbeck::data
