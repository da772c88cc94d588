// The writer against the plain form of the transforms, bit for bit, for lists of all kinds.
#include "limbeck/data/files/image_writer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/data/loader.h"

namespace limbeck::data {
namespace {

const Normalize kNormalize{{0.48F, 0.25F, 0.4F}, {0.2F, 0.3F, 0.25F}};
constexpr ImageShape kAnySize{3, ImageShape::kVaries, ImageShape::kVaries};

at::Tensor image_of(std::int64_t height, std::int64_t width) {
  const at::Tensor bytes = at::arange(height * width * 3, at::kLong).mul(37).remainder(256).to(at::kByte);
  return bytes.view({height, width, 3}).permute({2, 0, 1});
}

at::Tensor written(const ImageWriter& writer, const at::Tensor& image, const SampleKey& key, PixelOrder order) {
  const ImageShape& shape = writer.output_shape();
  const bool is_last = order == PixelOrder::channels_last;
  at::Tensor out = is_last ? at::full({shape.height, shape.width, shape.channels}, NAN)
                           : at::full({shape.channels, shape.height, shape.width}, NAN);
  writer.write(image, key, out.mutable_data_ptr<float>());
  return is_last ? out.permute({2, 0, 1}).contiguous() : out;
}

std::vector<std::vector<Transform>> lists() {
  return {
      {RandomResizedCrop{.size = {9, 7}}, HorizontalFlip{}, kNormalize},
      {Resize{.size = {16}}, CenterCrop{.size = {12}}, kNormalize},
      {Resize{.size = {5}}, CenterCrop{.size = {12}}},  // the crop is larger than the image
      {VerticalFlip{}, HorizontalFlip{}, CenterCrop{.size = {8, 40}}, VerticalFlip{}, kNormalize},
      {RandomResizedCrop{.size = {8}}, TrivialAugmentWide{}, kNormalize, RandomErasing{.probability = 1}},
      {RandomResizedCrop{.size = {8}}, ColorJitter{{0.4}, {0.4}, {0.4}, {0.1}}, RandomGrayscale{.probability = 0.5}},
      {Resize{.size = {8, 8}}, kNormalize,
       RandomErasing{.probability = 1, .value = {1, 2, 3}, .content = ErasingContent::noise}},
      {Resize{.size = {8, 8}}, RandomErasing{.probability = 1, .value = {300}}, RandAugment{}, kNormalize},
      {Resize{.size = {8, 8}}, RandomCrop{.padding = 2, .mode = PaddingMode::reflect}, kNormalize},
      {Resize{.size = {8, 8}}, RandomCrop{.padding = 2, .fill = 128}, HorizontalFlip{}, kNormalize},
      {Resize{.size = {8, 8}}, Pad{{2, 1}, PaddingMode::edge}, AutoAugment{}, kNormalize},
      {Resize{.size = {8, 8}}, kNormalize, RandomCrop{.padding = 2}, RandomErasing{}},
      {Resize{.size = {8, 8}}, Grayscale{}, Normalize{{0.4F}, {0.3F}}},
  };
}

TEST(ImageWriter, EqualsThePlainFormForImagesOfAnySize) {
  for (const std::vector<Transform>& list : lists()) {
    for (const PixelOrder order : {PixelOrder::channels_first, PixelOrder::channels_last}) {
      const ImageWriter writer(list, kAnySize, order);
      for (std::int64_t sample = 0; sample < 12; ++sample) {
        const at::Tensor image = image_of(9 + 7 * (sample % 4), 11 + 5 * (sample % 5));
        const SampleKey key{.seed = 5, .epoch = 1, .sample = sample};
        const at::Tensor expected = apply(list, image, key);
        ASSERT_TRUE(at::equal(written(writer, image, key, order), expected)) << to_string(writer.output_shape());
        ASSERT_TRUE(at::equal(written(writer, image.contiguous(), key, order), expected)) << "memory does not matter";
      }
    }
  }
}

TEST(ImageWriter, DecodesOnlyTheBoxOfARandomResizedCrop) {
  const std::string path = LIMBECK_SOURCE_DIR "/tests/data/images/colours_444.jpg";
  const std::string file = core::read_file(path, 1 << 20);
  const EncodedImage encoded({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()}, path, Channels::rgb);
  const std::vector<Transform> list{RandomResizedCrop{.size = {6}}, HorizontalFlip{}, kNormalize};
  const ImageWriter writer(list, kAnySize, PixelOrder::channels_first);
  const at::Tensor whole = encoded.decode();
  at::Tensor out = at::empty({3, 6, 6});
  for (std::int64_t sample = 0; sample < 20; ++sample) {
    const SampleKey key{.seed = 5, .epoch = 1, .sample = sample};
    writer.write(encoded, DecodeScale::exact, key, out.mutable_data_ptr<float>());
    EXPECT_TRUE(at::equal(out, apply(list, whole, key)));
  }
}

TEST(ImageWriter, RefusesWhatMakesNoBatch) {
  const auto refusal = [](std::vector<Transform> list, const ImageShape& shape) -> std::string {
    try {
      const ImageWriter writer(std::move(list), shape, PixelOrder::channels_first);
      writer.write(at::zeros({2, 9, 9}, at::kByte), {}, nullptr);
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(refusal({Resize{.size = {8}}}, kAnySize).find("a batch needs one size"), std::string::npos);
  EXPECT_NE(refusal({CenterCrop{{8}}}, kAnySize).find("the image must be a tensor [3, H, W]"), std::string::npos);
  EXPECT_NE(refusal({kNormalize, ColorJitter{}}, {3, 8, 8}).find("transform 2 of the list changes colours, after"),
            std::string::npos);
  EXPECT_NE(refusal({TrivialAugmentWide{}}, {2, 8, 8}).find("1 or 3 channels, got 2"), std::string::npos);
}

TEST(ImageWriter, RefusesColoursOfFloats) {
  const ImageWriter writer({ColorJitter{.brightness = {0.5}}}, {3, 8, 8}, PixelOrder::channels_first);
  at::Tensor out = at::empty({3, 8, 8});
  EXPECT_THROW(writer.write(at::zeros({3, 8, 8}), {}, out.mutable_data_ptr<float>()), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::data
