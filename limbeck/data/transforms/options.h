// The transforms by name, with their options by key: what recipes, models' metadata and reports read and write. Names
// and keys are torchvision's, in snake_case.
#pragma once

#include "limbeck/core/json/json.h"
#include "limbeck/data/transforms.h"

#include <functional>
#include <string>
#include <string_view>

namespace limbeck::data {

/// One of several names.
struct NamedValue {
  std::vector<std::string> names;
  std::function<std::size_t()> get;
  std::function<void(std::size_t)> set;
};

/// Where an option's value lives; lists may be given as one number.
using OptionRef = std::variant<std::int64_t*, double*, std::vector<std::int64_t>*, std::vector<double>*,
                               std::vector<float>*, NamedValue>;

struct TransformOption {
  const char* key;
  OptionRef value;
  const char* help;
};

/// The names of all transforms, in the order of Transform's alternatives.
const std::vector<std::string>& transform_names();

/// The name of the transform.
const std::string& name_of(const Transform& transform);

/// The transform of that name with its default options. Throws InvalidArgument that names the nearest ones.
Transform make_transform(std::string_view name);

/// What it does, in a line.
const char* help_of(const Transform& transform);

/// Its options; the references are valid as long as `transform`.
std::vector<TransformOption> options_of(Transform& transform);

/// {"resize": {"size": [256], "max_size": 0, "interpolation": "bilinear"}}
core::Json to_json(const Transform& transform);

/// Inverse of to_json; options that are left out have their defaults. The text comes from a file: throws IoError,
/// naming the place, for unknown names and keys and values of another kind. Ranges are checked by output_shape.
Transform parse_transform(const core::JsonView& view);

}  // namespace limbeck::data
