#include "limbeck/data/files/image_file.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "tests/support/mutation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace limbeck::data {
namespace {

const std::string kFolder = LIMBECK_SOURCE_DIR "/tests/data/images/";

at::Tensor decode(const std::string& file, Channels channels = Channels::rgb, const ImageLimits& limits = {}) {
  return decode_image({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()}, "picture", channels, limits);
}

std::string refusal(const std::string& file, const ImageLimits& limits = {}) {
  try {
    decode(file, Channels::rgb, limits);
  } catch (const IoError& error) {
    return error.what();
  }
  return "accepted";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct Picture {
  const char* file;
  std::int64_t height, width;
};

// FILE.pixels holds what Pillow's exif_transpose, convert("RGB") and convert("L") give: [3, H, W], then [1, H, W].
class DecodeImage : public ::testing::TestWithParam<Picture> {};

TEST_P(DecodeImage, GivesThePixelsThatPillowGives) {
  const auto [file, height, width] = GetParam();
  const std::string expected = core::read_file(kFolder + file + ".pixels");
  ASSERT_EQ(expected.size(), static_cast<std::size_t>(4 * height * width));
  const at::Tensor planes = at::from_blob(const_cast<char*>(expected.data()), {4, height, width}, at::kByte);
  EXPECT_TRUE(at::equal(read_image(kFolder + file, Channels::rgb), planes.slice(0, 0, 3)));
  EXPECT_TRUE(at::equal(read_image(kFolder + file, Channels::gray), planes.slice(0, 3)));
}

INSTANTIATE_TEST_SUITE_P(
    Files, DecodeImage,
    ::testing::Values(Picture{"rgb.png", 4, 5}, Picture{"rgba.png", 4, 5}, Picture{"gray.png", 4, 5},
                      Picture{"gray_alpha.png", 4, 5}, Picture{"one_bit.png", 4, 5}, Picture{"palette.png", 4, 5},
                      Picture{"gray16.png", 4, 5}, Picture{"interlaced_gamma.png", 7, 9}, Picture{"rgb.jpg", 19, 21},
                      Picture{"rgb_progressive.jpg", 19, 21}, Picture{"gray.jpg", 19, 21},
                      Picture{"colours_444.jpg", 37, 50}, Picture{"colours_422.jpg", 37, 50},
                      Picture{"colours_420.jpg", 37, 50}, Picture{"progressive_444.jpg", 37, 50},
                      Picture{"progressive_422.jpg", 37, 50}, Picture{"progressive_420.jpg", 37, 50},
                      Picture{"progressive_gray.jpg", 37, 50}, Picture{"restarts.jpg", 37, 50},
                      Picture{"cmyk.jpg", 37, 50}, Picture{"ycck.jpg", 37, 50}, Picture{"progressive_cmyk.jpg", 37, 50},
                      Picture{"exif_1.jpg", 37, 50}, Picture{"exif_2.jpg", 37, 50}, Picture{"exif_3.jpg", 37, 50},
                      Picture{"exif_4.jpg", 37, 50}, Picture{"exif_5.jpg", 50, 37}, Picture{"exif_6.jpg", 50, 37},
                      Picture{"exif_7.jpg", 50, 37}, Picture{"exif_8.jpg", 50, 37}, Picture{"exif_gray_6.jpg", 50, 37},
                      Picture{"exif_99.jpg", 37, 50}, Picture{"palette_transparent.png", 11, 13},
                      Picture{"palette_4_bit.png", 11, 13}, Picture{"colours_transparent.png", 11, 13},
                      Picture{"colours_16_bit.png", 11, 13}, Picture{"gray_2_bit.png", 11, 13},
                      Picture{"exif_6.png", 13, 11}, Picture{"exif_3.png", 11, 13}),
    [](const auto& one) {
      std::string name = one.param.file;
      name[name.find('.')] = '_';
      return name;
    });

TEST(ImageFile, RefusesOtherFormatsAndMissingFiles) {
  EXPECT_EQ(refusal("GIF89a"), "[image] picture is neither PNG nor JPEG. Convert it to one of them.");
  EXPECT_TRUE(contains(refusal(""), "neither PNG nor JPEG"));
  EXPECT_THROW(read_image(kFolder + "nothing.png", Channels::rgb), IoError);
  EXPECT_THROW(read_image(kFolder + "rgb.png", Channels::rgb, {.max_file_bytes = 10}), IoError);
}

TEST(ImageFile, RefusesTruncatedAndDamagedFiles) {
  for (const char* name : {"rgb.png", "rgb.jpg", "rgb_progressive.jpg"}) {
    const std::string file = core::read_file(kFolder + name);
    for (const std::size_t kept : {std::size_t{9}, file.size() / 2, file.size() - 30}) {
      EXPECT_TRUE(contains(refusal(file.substr(0, kept)), "picture cannot be read as")) << name << kept;
    }
  }
  const std::string intact = core::read_file(kFolder + "rgb.png");
  const auto damaged = [&](std::size_t from_end) {
    std::string file = intact;
    file[file.size() - from_end] ^= 1;
    return refusal(file);
  };
  EXPECT_TRUE(contains(damaged(14), "CRC error")) << "in the check sum of the last chunk of pixels";
  EXPECT_TRUE(contains(damaged(20), "incorrect data check")) << "in that of the pixels themselves";
}

TEST(ImageFile, RefusesImagesBeyondTheLimitBeforeDecoding) {
  for (const char* name : {"rgb.png", "rgb.jpg"}) {
    EXPECT_TRUE(contains(refusal(core::read_file(kFolder + name), {.max_pixels = 19}), "must have 1 to 19 pixels"))
        << name;
  }
  EXPECT_EQ(refusal(core::read_file(kFolder + "rgb.png"), {.max_pixels = 20}), "accepted");
}

void fuzz(const char* name) {
  const auto counts = testing::fuzz_reader(core::read_file(kFolder + name),
                                           [](const std::string& file) {
                                             const at::Tensor image =
                                                 decode(file, Channels::rgb, {.max_pixels = 10'000});
                                             ASSERT_EQ(image.size(0), 3);
                                             ASSERT_LE(image.numel(), 30'000);
                                           },
                                           {.max_allocation_bytes = std::size_t{1} << 20});
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

TEST(ImageFileFuzz, SurvivesMutationsOfPng) { fuzz("rgb.png"); }
TEST(ImageFileFuzz, SurvivesMutationsOfPaletteAndInterlacing) {
  fuzz("palette.png");
  fuzz("interlaced_gamma.png");
}
TEST(ImageFileFuzz, SurvivesMutationsOfJpeg) { fuzz("rgb.jpg"); }
TEST(ImageFileFuzz, SurvivesMutationsOfProgressiveJpeg) { fuzz("rgb_progressive.jpg"); }

}  // namespace
}  // namespace limbeck::data
