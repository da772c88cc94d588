#include "limbeck/data/preprocessing.h"

#include "limbeck/core/json.h"
#include "limbeck/data/image_file.h"

namespace limbeck::data {
namespace {

using core::Json;
using core::JsonView;

constexpr std::int64_t kMaxSide = 16'384;

std::vector<float> per_channel(const JsonView& values, std::int64_t channels) {
  std::vector<float> result;
  for (const JsonView& value : values.elements()) result.push_back(static_cast<float>(value.as_double()));
  const auto count = static_cast<std::int64_t>(result.size());
  if (count != 1 && count != channels) values.fail("must have one number, or one a channel");
  return result;
}

}  // namespace

std::string to_json(const Preprocessing& preprocessing) {
  const ImageShape& shape = preprocessing.shape;
  return Json::object({{"channels", shape.channels},
                       {"height", shape.height},
                       {"width", shape.width},
                       {"mean", Json::array(preprocessing.normalize.mean)},
                       {"stddev", Json::array(preprocessing.normalize.stddev)}})
      .dump();
}

Preprocessing parse_preprocessing(std::string_view json) {
  const Json document = core::parse_json(json, kPreprocessingKey, {.max_bytes = 1 << 16, .max_values = 100});
  const JsonView view(document, kPreprocessingKey);
  view.allow_only({"channels", "height", "width", "mean", "stddev"});
  Preprocessing result;
  result.shape = {.channels = view["channels"].as_int(1, 3),
                  .height = view["height"].as_int(1, kMaxSide),
                  .width = view["width"].as_int(1, kMaxSide)};
  if (result.shape.channels == 2) view["channels"].fail("must be 1 or 3");
  result.normalize.mean = per_channel(view["mean"], result.shape.channels);
  result.normalize.stddev = per_channel(view["stddev"], result.shape.channels);
  for (const float value : result.normalize.stddev) {
    if (!(value > 0)) view["stddev"].fail("must be above zero");
  }
  return result;
}

at::Tensor prepare_image(const std::string& path, const Preprocessing& preprocessing) {
  const ImageShape& shape = preprocessing.shape;
  const at::Tensor image = read_image(path, shape.channels == 1 ? Channels::gray : Channels::rgb);
  return apply({preprocessing.normalize}, resize(image, shape.height, shape.width), SampleKey{});
}

}  // namespace limbeck::data
