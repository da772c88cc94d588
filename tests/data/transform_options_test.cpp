#include "limbeck/data/transforms/options.h"

#include <gtest/gtest.h>

#include "limbeck/core/error.h"

namespace limbeck::data {
namespace {

using core::Json;
using core::JsonView;

Transform parse(const std::string& text) {
  const Json json = core::parse_json(text, "model");
  return parse_transform(JsonView(json, "model"));
}

std::string refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const IoError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(TransformOptions, EveryTransformSurvivesItsJson) {
  ASSERT_EQ(transform_names().size(), std::variant_size_v<Transform>);
  for (const std::string& name : transform_names()) {
    const Transform transform = make_transform(name);
    EXPECT_EQ(name_of(transform), name);
    EXPECT_STRNE(help_of(transform), "");
    const std::string json = to_json(transform).dump();
    EXPECT_EQ(to_json(parse(json)).dump(), json);
  }
}

TEST(TransformOptions, AreReadUnderTorchvisionsNames) {
  const auto crop = std::get<RandomResizedCrop>(
      parse(R"({"random_resized_crop": {"size": 176, "scale": [0.2, 1], "interpolation": "bicubic"}})"));
  EXPECT_EQ(crop.size, std::vector<std::int64_t>{176});
  EXPECT_EQ(crop.scale, (std::vector<double>{0.2, 1}));
  EXPECT_EQ(crop.interpolation, Interpolation::bicubic);
  EXPECT_EQ(std::get<AutoAugment>(parse(R"({"auto_augment": {"policy": "svhn"}})")).policy, AutoAugmentPolicy::svhn);
  EXPECT_EQ(std::get<Normalize>(parse(R"({"normalize": {"mean": 0.5, "std": [0.25]}})")).stddev[0], 0.25F);
}

TEST(TransformOptions, RefuseWhatTheyDoNotKnow) {
  EXPECT_NE(refusal(R"({"resizing": {}})").find("must be a known transform"), std::string::npos);
  EXPECT_NE(refusal(R"({"resize": {"sizes": 3}})").find("model.resize.sizes is not an option"), std::string::npos);
  EXPECT_NE(refusal(R"({"resize": {"size": "x"}})").find("model.resize.size must be an integer"), std::string::npos);
  EXPECT_NE(refusal(R"({"resize": {"interpolation": "box"}})").find("must be a known name"), std::string::npos);
  EXPECT_NE(refusal(R"({"resize": {}, "pad": {}})").find("must be one transform's name"), std::string::npos);
  EXPECT_NE(refusal("[]").find("object"), std::string::npos);
  try {
    make_transform("center_corp");
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("center_crop"), std::string::npos);
  }
}

}  // namespace
}  // namespace limbeck::data
