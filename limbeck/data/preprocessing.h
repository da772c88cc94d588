// What an application does to an image before a model sees it: the same that was done to the images that the model was
// trained on. It travels with the model as JSON text, in its metadata under `preprocessing`.
#pragma once

#include <string>
#include <string_view>

#include "limbeck/data/transforms.h"

namespace limbeck::data {

/// Key of the preprocessing in a model's metadata.
inline constexpr const char* kPreprocessingKey = "preprocessing";

struct Preprocessing {
  ImageShape shape;     ///< of the model's input
  Normalize normalize;  ///< of pixels in 0..1
  /// What comes before the normalization, such as resize and center_crop; empty: a resize to the shape's size.
  std::vector<Transform> transforms = {};

  /// All of it, the normalization last.
  std::vector<Transform> steps() const;
};

/// What a list of deterministic transforms that ends in a normalization does to images of any size, made for images of
/// `input`: where the list itself leaves sizes open, images are first resized to that of `input`. Throws
/// InvalidArgument if the list has no normalization at its end, holds a random transform, or makes no one size of an
/// open input.
Preprocessing make_preprocessing(std::vector<Transform> transforms, const ImageShape& input);

/// {"channels": 1, "height": 28, "width": 28, "mean": [0.286], "stddev": [0.353]} and, where there are transforms,
/// "transforms": [{"resize": {"size": [32]}}, {"center_crop": {"size": [28]}}].
std::string to_json(const Preprocessing& preprocessing);

/// For people: "resize [256] bilinear, center_crop [224], mean [0.485], stddev [0.229]".
std::string to_text(const Preprocessing& preprocessing);

/// Inverse of to_json. The text comes from a file: throws IoError, naming the key, for anything but 1 or 3 channels,
/// sides of 1 to 16,384 pixels, one mean and stddev or one a channel, a stddev above zero, and deterministic transforms
/// that make images of any size the shape's.
Preprocessing parse_preprocessing(std::string_view json);

/// The PNG or JPEG file at `path` as the model takes it: its channels, resized, cropped, scaled to 0..1 and normalized.
/// Returns float32 [C, H, W]. Throws what read_image throws.
at::Tensor prepare_image(const std::string& path, const Preprocessing& preprocessing);

}  // namespace limbeck::data
