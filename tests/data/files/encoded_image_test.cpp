#include "limbeck/data/files/encoded_image.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/rng.h"
#include "limbeck/data/files/orientation.h"
#include "tests/support/mutation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>

#include <jpeglib.h>

namespace limbeck::data {
namespace {

const std::string kFolder = LIMBECK_SOURCE_DIR "/tests/data/images/";

std::span<const std::uint8_t> bytes_of(const std::string& file) {
  return {reinterpret_cast<const std::uint8_t*>(file.data()), file.size()};
}

// Smooth colours [H, W, C] with noise: every block differs from its neighbours.
at::Tensor picture(std::int64_t height, std::int64_t width, std::int64_t channels) {
  core::Rng rng({.seed = 1});
  at::Tensor pixels = at::empty({height, width, channels}, at::kByte);
  auto* out = pixels.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t i = 0; i < pixels.numel(); ++i) {
    const std::int64_t x = i / channels % width, y = i / channels / width, c = i % channels;
    out[i] = static_cast<std::uint8_t>((3 * x * (c + 1) + 5 * y + 40 * c) % 200 + rng.between(0, 55));
  }
  return pixels;
}

struct JpegKind {
  const char* name;
  int horizontal = 1;  // luma samples a chroma sample
  int vertical = 1;
  bool is_progressive = false;
  int restart_interval = 0;
  int channels = 3;
};

std::string encode_jpeg(const at::Tensor& pixels, const JpegKind& kind) {
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &out, &size);
  jpeg.image_height = static_cast<JDIMENSION>(pixels.size(0));
  jpeg.image_width = static_cast<JDIMENSION>(pixels.size(1));
  jpeg.input_components = kind.channels;
  jpeg.in_color_space = kind.channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_set_defaults(&jpeg);
  jpeg.comp_info[0].h_samp_factor = kind.horizontal;
  jpeg.comp_info[0].v_samp_factor = kind.vertical;
  jpeg.restart_interval = static_cast<unsigned>(kind.restart_interval);
  if (kind.is_progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = pixels.mutable_data_ptr<std::uint8_t>() + jpeg.next_scanline * pixels.stride(0);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  std::string file(reinterpret_cast<const char*>(out), size);
  jpeg_destroy_compress(&jpeg);
  std::free(out);
  return file;
}

at::Tensor cut(const at::Tensor& image, const ImageBox& box) {
  return image.narrow(1, box.top, box.height).narrow(2, box.left, box.width);
}

ImageBox random_box(core::Rng& rng, std::int64_t height, std::int64_t width) {
  ImageBox box{.height = rng.between(1, height), .width = rng.between(1, width)};
  box.top = rng.between(0, height - box.height);
  box.left = rng.between(0, width - box.width);
  return box;
}

void expect_boxes_equal_whole(const std::string& file, Channels channels, int num_boxes) {
  const EncodedImage image(bytes_of(file), "picture", channels);
  const at::Tensor whole = image.decode();
  ASSERT_EQ(whole.sizes(), at::IntArrayRef({static_cast<std::int64_t>(channels), image.height(), image.width()}));
  core::Rng rng({.seed = 7});
  for (int i = 0; i < num_boxes; ++i) {
    const ImageBox box = random_box(rng, image.height(), image.width());
    ASSERT_TRUE(at::equal(image.decode({.box = box}), cut(whole, box)))
        << box.top << " " << box.left << " " << box.height << "x" << box.width;
  }
}

class DecodeBox : public ::testing::TestWithParam<JpegKind> {};

TEST_P(DecodeBox, EqualsTheBoxOfTheWholeInEveryBit) {
  for (const auto& [height, width] : {std::pair{97, 131}, std::pair{64, 96}, std::pair{33, 300}, std::pair{5, 7}}) {
    const std::string file = encode_jpeg(picture(height, width, GetParam().channels), GetParam());
    expect_boxes_equal_whole(file, Channels::rgb, 150);
    expect_boxes_equal_whole(file, Channels::gray, 50);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, DecodeBox,
    ::testing::Values(JpegKind{.name = "full"}, JpegKind{.name = "half_width", .horizontal = 2},
                      JpegKind{.name = "half_height", .vertical = 2},
                      JpegKind{.name = "half_both", .horizontal = 2, .vertical = 2},
                      JpegKind{.name = "quarter_width", .horizontal = 4},
                      JpegKind{.name = "restarts", .horizontal = 2, .vertical = 2, .restart_interval = 3},
                      JpegKind{.name = "gray", .channels = 1},
                      JpegKind{.name = "progressive", .horizontal = 2, .vertical = 2, .is_progressive = true},
                      JpegKind{.name = "progressive_full", .is_progressive = true},
                      JpegKind{.name = "progressive_gray", .is_progressive = true, .channels = 1}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(EncodedImage, CutsBoxesOfEveryOrientationAndKind) {
  for (const char* name :
       {"exif_1.jpg", "exif_2.jpg", "exif_3.jpg", "exif_4.jpg", "exif_5.jpg", "exif_6.jpg", "exif_7.jpg", "exif_8.jpg",
        "exif_gray_6.jpg", "exif_6.png", "ycck.jpg", "cmyk.jpg", "interlaced_gamma.png", "palette_transparent.png"}) {
    SCOPED_TRACE(name);
    expect_boxes_equal_whole(core::read_file(kFolder + name), Channels::rgb, 60);
  }
}

TEST(EncodedImage, KnowsItsTurnedSizeBeforeDecoding) {
  const std::string upright = core::read_file(kFolder + "exif_1.jpg"), turned = core::read_file(kFolder + "exif_6.jpg");
  EXPECT_EQ(EncodedImage(bytes_of(upright), "a", Channels::rgb).height(), 37);
  EXPECT_EQ(EncodedImage(bytes_of(turned), "b", Channels::rgb).height(), 50);
  EXPECT_EQ(EncodedImage(bytes_of(turned), "b", Channels::rgb).width(), 37);
}

TEST(EncodedImage, ScalesDownNoFurtherThanAsked) {
  const std::string file = encode_jpeg(picture(160, 320, 3), {.name = "", .horizontal = 2, .vertical = 2});
  const EncodedImage image(bytes_of(file), "picture", Channels::rgb);
  const auto sizes = [&](const ImageBox& box, std::int64_t height, std::int64_t width) {
    const at::Tensor got =
        image.decode({.box = box, .scale = DecodeScale::scaled, .min_height = height, .min_width = width});
    return std::pair{got.size(1), got.size(2)};
  };
  using Sides = std::pair<std::int64_t, std::int64_t>;
  EXPECT_EQ(sizes({0, 0, 160, 320}, 20, 40), (Sides{20, 40}));
  EXPECT_EQ(sizes({0, 0, 160, 320}, 21, 40), (Sides{40, 80}));
  EXPECT_EQ(sizes({0, 0, 160, 320}, 20, 41), (Sides{40, 80}));
  EXPECT_EQ(sizes({0, 0, 160, 320}, 80, 80), (Sides{80, 160}));
  EXPECT_EQ(sizes({0, 0, 160, 320}, 81, 80), (Sides{160, 320}));
  EXPECT_EQ(sizes({30, 50, 100, 100}, 50, 50), (Sides{50, 50}));
  EXPECT_EQ(image.decode({.box = {0, 0, 160, 320}, .min_height = 1, .min_width = 1}).size(1), 160) << "unless exact";
}

TEST(EncodedImage, ScalesToWhatAveragingOfItsPixelsGives) {
  const std::string file = core::read_file(kFolder + "smooth.jpg");
  const EncodedImage image(bytes_of(file), "smooth", Channels::rgb);
  const at::Tensor whole = image.decode().to(at::kFloat);
  for (const std::int64_t downscale : {2, 4, 8}) {
    const ImageBox box{.top = 16, .left = 32, .height = 96, .width = 128};
    const at::Tensor got = image.decode({.box = box,
                                         .scale = DecodeScale::scaled,
                                         .min_height = box.height / downscale,
                                         .min_width = box.width / downscale});
    const at::Tensor expected = at::avg_pool2d(cut(whole, box), downscale);
    ASSERT_EQ(got.sizes(), expected.sizes());
    const at::Tensor difference = (got.to(at::kFloat) - expected).abs();
    EXPECT_LT(difference.mean().item<float>(), 1.0F) << downscale;
    EXPECT_LT(difference.max().item<float>(), 12.0F) << downscale;
  }
}

TEST(EncodedImage, RefusesBoxesBeyondTheImage) {
  const std::string file = core::read_file(kFolder + "exif_6.jpg");
  const EncodedImage image(bytes_of(file), "picture", Channels::rgb);
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  for (const ImageBox& box :
       {ImageBox{0, 0, 51, 1}, ImageBox{0, 0, 1, 38}, ImageBox{50, 0, 1, 1}, ImageBox{-1, 0, 2, 2},
        ImageBox{0, 0, 0, 1}, ImageBox{huge, 0, 1, 1}, ImageBox{1, 1, huge, huge}}) {
    EXPECT_THROW(image.decode({.box = box}), InvalidArgument);
  }
}

TEST(EncodedImage, NoticesTruncationBelowTheBoxToo) {
  for (const char* name : {"colours_420.jpg", "progressive_420.jpg"}) {
    const std::string file = core::read_file(kFolder + name);
    const std::string part = file.substr(0, file.size() - 20);
    const EncodedImage image(bytes_of(part), "picture", Channels::rgb);
    EXPECT_THROW(image.decode({.box = {0, 0, 2, 2}}), IoError) << name;
  }
}

TEST(EncodedImage, LimitsTheScansOfAProgressiveFile) {
  std::string file = encode_jpeg(picture(16, 16, 1), {.name = "", .is_progressive = true, .channels = 1});
  const std::size_t scan = file.rfind("\xff\xda");
  const std::string last = file.substr(scan, file.size() - 2 - scan);
  file.resize(file.size() - 2);
  for (int i = 0; i < 1000; ++i) file += last;
  file += "\xff\xd9";
  const EncodedImage image(bytes_of(file), "picture", Channels::gray);
  try {
    image.decode();
    FAIL() << "a thousand scans were read";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("more than 500 scans"), std::string::npos) << error.what();
  }
}

TEST(ParseExifOrientation, ReadsBothByteOrdersAndTypes) {
  const auto parse = [](const std::string& block) { return parse_exif_orientation(bytes_of(block)); };
  using namespace std::string_literals;
  const std::string big = "MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"s;
  const std::string little = "II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0"s;
  const std::string wide = "MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x03"s;
  EXPECT_EQ(parse(big), Orientation::rotated_clockwise);
  EXPECT_EQ(parse(little), Orientation::rotated_counterclockwise);
  EXPECT_EQ(parse(wide), Orientation::rotated_180);
  EXPECT_EQ(parse(""), Orientation::upright);
  EXPECT_EQ(parse(big.substr(0, 9)), Orientation::upright);
  EXPECT_EQ(parse(big.substr(0, 18)), Orientation::upright) << "the value is cut off";
  EXPECT_EQ(parse("MM\0\x2a\xff\xff\xff\xf0"s), Orientation::upright) << "the directory lies beyond the end";
}

TEST(ParseExifOrientationFuzz, SurvivesMutations) {
  using namespace std::string_literals;
  const std::string block =
      "II\x2a\0\x08\0\0\0\x02\0\x0f\x01\x02\0\x09\0\0\0\0\0\0\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0"s;
  int turned_ones = 0;
  testing::fuzz_reader(block, [&](const std::string& mutant) {
    const Orientation orientation = parse_exif_orientation(bytes_of(mutant));
    ASSERT_GE(static_cast<int>(orientation), 1);
    ASSERT_LE(static_cast<int>(orientation), 8);
    turned_ones += orientation != Orientation::upright;
  });
  EXPECT_GT(turned_ones, 0);
}

void fuzz_box(const char* name, const DecodeRequest& request) {
  const auto counts =
      testing::fuzz_reader(core::read_file(kFolder + name),
                           [&](const std::string& file) {
                             const EncodedImage image(bytes_of(file), "mutant", Channels::rgb, {.max_pixels = 10'000});
                             const at::Tensor pixels = image.decode(request);
                             ASSERT_LE(pixels.size(1), request.box.height);
                             ASSERT_LE(pixels.size(2), request.box.width);
                             pixels.contiguous();
                           },
                           {.max_allocation_bytes = std::size_t{1} << 20});
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

TEST(EncodedImageFuzz, SurvivesMutationsOfBoxes) {
  const DecodeRequest box{.box = {9, 11, 20, 17}};
  for (const char* name : {"colours_420.jpg", "progressive_422.jpg", "exif_6.jpg", "cmyk.jpg"}) fuzz_box(name, box);
}

TEST(EncodedImageFuzz, SurvivesMutationsOfScaledBoxes) {
  const DecodeRequest box{.box = {3, 5, 30, 30}, .scale = DecodeScale::scaled, .min_height = 12, .min_width = 12};
  for (const char* name : {"colours_420.jpg", "progressive_420.jpg", "exif_8.jpg"}) fuzz_box(name, box);
}

}  // namespace
}  // namespace limbeck::data
