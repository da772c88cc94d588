#include "limbeck/data/preprocessing.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/data/files/image_file.h"

namespace limbeck::data {
namespace {

const std::string kImages = LIMBECK_SOURCE_DIR "/tests/data/images/";

std::string refusal(std::string_view json) {
  try {
    parse_preprocessing(json);
  } catch (const IoError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Preprocessing, SurvivesItsJson) {
  const Preprocessing original{{.channels = 3, .height = 8, .width = 9},
                               {.mean = {0.1F, 0.2F, 0.3F}, .stddev = {0.5F, 0.25F, 1.0F}}};
  const Preprocessing read = parse_preprocessing(to_json(original));
  EXPECT_EQ(read.shape, original.shape);
  EXPECT_EQ(read.normalize.mean, original.normalize.mean);
  EXPECT_EQ(read.normalize.stddev, original.normalize.stddev);
}

// What models of the first version hold.
constexpr const char* kFirstVersion =
    R"({"channels": 3, "height": 2, "width": 3, "mean": [0.5], "stddev": [0.25, 0.5, 1.0]})";

TEST(Preprocessing, ReadsThatOfTheFirstVersion) {
  const Preprocessing read = parse_preprocessing(kFirstVersion);
  EXPECT_EQ(read.shape, (ImageShape{3, 2, 3}));
  EXPECT_TRUE(read.transforms.empty());
  const std::vector<Transform> steps = read.steps();
  ASSERT_EQ(steps.size(), 2U);
  EXPECT_EQ(std::get<Resize>(steps[0]).size, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(to_json(read), kFirstVersion);
}

const Normalize kNormalize{.mean = {0.5F}, .stddev = {0.25F}};

TEST(Preprocessing, ShowsFloatsAsTheyWereWritten) {
  const Preprocessing made = make_preprocessing({Resize{.size = {32}}, CenterCrop{{28}}, Normalize{{0.485F}, {0.229F}}},
                                                {1, ImageShape::kVaries, ImageShape::kVaries});
  EXPECT_EQ(to_text(made), "resize [32] bilinear, center_crop [28], mean [0.485], stddev [0.229]");
  EXPECT_NE(to_json(made).find("\"mean\": [0.485]"), std::string::npos);
  EXPECT_EQ(parse_preprocessing(to_json(made)).normalize.mean[0], 0.485F);
}

TEST(Preprocessing, CarriesResizeAndCrop) {
  const std::vector<Transform> list{Resize{.size = {6}, .interpolation = Interpolation::bicubic},
                                    CenterCrop{.size = {4, 5}}, kNormalize};
  const Preprocessing made = make_preprocessing(list, {3, ImageShape::kVaries, ImageShape::kVaries});
  EXPECT_EQ(made.shape, (ImageShape{3, 4, 5}));
  const Preprocessing read = parse_preprocessing(to_json(made));
  const at::Tensor expected = apply(list, read_image(kImages + "rgb.png", Channels::rgb), {});
  EXPECT_TRUE(at::equal(prepare_image(kImages + "rgb.png", read), expected));
}

TEST(Preprocessing, FirstResizesToTheDatasImagesWhereNothingElseDoes) {
  const Preprocessing padded = make_preprocessing({Pad{{2}}, kNormalize}, {1, 28, 28});
  EXPECT_EQ(padded.shape, (ImageShape{1, 32, 32}));
  EXPECT_EQ(std::get<Resize>(padded.transforms[0]).size, (std::vector<std::int64_t>{28, 28}));
  EXPECT_EQ(make_preprocessing({CenterCrop{{8}}, kNormalize}, {1, 28, 28}).transforms.size(), 1U);
  const ImageShape any{1, ImageShape::kVaries, ImageShape::kVaries};
  EXPECT_THROW(make_preprocessing({Pad{{2}}, kNormalize}, any), InvalidArgument);
  EXPECT_THROW(make_preprocessing({CenterCrop{{8}}}, any), InvalidArgument);
  EXPECT_THROW(make_preprocessing({CenterCrop{{8}}, HorizontalFlip{}, kNormalize}, any), InvalidArgument);
}

TEST(Preprocessing, RefusesTransformsThatMakeNoInput) {
  const auto with = [](const std::string& transforms) {
    std::string json = kFirstVersion;
    return refusal(json.insert(json.size() - 1, ", \"transforms\": " + transforms));
  };
  EXPECT_EQ(with(R"([{"resize": {"size": [2, 3]}}])"), "accepted");
  EXPECT_NE(with(R"([{"resize": {"size": [2]}}])").find("preprocessing.transforms must make images [3, 2, 3]"),
            std::string::npos);
  EXPECT_NE(with(R"([{"random_horizontal_flip": {}}])").find("preprocessing.transforms[0] must be resize"),
            std::string::npos);
  EXPECT_NE(with(R"([{"resize": {"size": [2, -3]}}])").find("transforms must be valid"), std::string::npos);
  EXPECT_NE(with(R"([{"resize": {"size": [1,1,1]}}])").find("transforms must be valid"), std::string::npos);
  EXPECT_NE(with("3").find("preprocessing.transforms"), std::string::npos);
}

TEST(Preprocessing, RefusesWhatNoModelCanHave) {
  const auto text = [](const char* channels, const char* height, const char* mean, const char* stddev) {
    return std::string("{\"channels\": ") + channels + ", \"height\": " + height + ", \"width\": 4, \"mean\": " + mean +
           ", \"stddev\": " + stddev + "}";
  };
  EXPECT_EQ(refusal(text("1", "4", "[0.5]", "[1.0]")), "accepted");
  EXPECT_NE(refusal(text("2", "4", "[0.5]", "[1.0]")).find("preprocessing.channels must be 1 or 3, got 2"),
            std::string::npos);
  EXPECT_NE(refusal(text("4", "4", "[0.5]", "[1.0]")).find("preprocessing.channels"), std::string::npos);
  EXPECT_NE(refusal(text("1", "100000", "[0.5]", "[1.0]")).find("preprocessing.height"), std::string::npos);
  EXPECT_NE(refusal(text("3", "4", "[0.5, 0.5]", "[1.0]")).find("preprocessing.mean"), std::string::npos);
  EXPECT_NE(refusal(text("1", "4", "[0.5]", "[0.0]")).find("preprocessing.stddev must be above zero"),
            std::string::npos);
  EXPECT_NE(refusal("{\"channels\": 1}").find("height"), std::string::npos);
  EXPECT_NE(refusal("{}{}").find("preprocessing"), std::string::npos);
}

TEST(Preprocessing, PreparesAnImageAsTheModelSawIt) {
  const Preprocessing three{{.channels = 3, .height = 2, .width = 3}, {.mean = {0.5F}, .stddev = {0.25F}}};
  const at::Tensor prepared = prepare_image(kImages + "rgb.png", three);
  const at::Tensor bytes = resize(read_image(kImages + "rgb.png", Channels::rgb), {2, 3}, Interpolation::bilinear);
  ASSERT_EQ(prepared.sizes(), bytes.sizes());
  EXPECT_TRUE(at::allclose(prepared, (bytes.to(at::kFloat) / 255 - 0.5) / 0.25, 1e-6, 1e-6));
}

TEST(Preprocessing, MakesGrayOfColoursWhereTheModelTakesGray) {
  const Preprocessing one{{.channels = 1, .height = 4, .width = 5}, {.mean = {0.0F}, .stddev = {1.0F}}};
  const at::Tensor gray = read_image(kImages + "rgb.png", Channels::gray);
  EXPECT_TRUE(at::allclose(prepare_image(kImages + "rgb.png", one), gray.to(at::kFloat) / 255, 1e-6, 1e-6));
}

}  // namespace
}  // namespace limbeck::data
