#include "limbeck/data/transforms.h"

#include "limbeck/core/error.h"
#include "limbeck/data/files/image_writer.h"
#include "limbeck/data/memory_dataset.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>

namespace limbeck::data {
namespace {

at::Tensor counting_image(const ImageShape& shape) {
  return at::arange(shape.numel(), at::kLong)
      .mul(37)
      .remainder(256)
      .to(at::kByte)
      .view({shape.channels, shape.height, shape.width});
}

// The same transforms by ATen's own operators.
at::Tensor by_operators(const std::vector<Transform>& transforms, const at::Tensor& image, const SampleKey& key) {
  at::Tensor x = image.scalar_type() == at::kByte ? image.to(at::kFloat).div(255) : image;
  for (std::size_t place = 0; place < transforms.size(); ++place) {
    if (const auto* crop = std::get_if<RandomCrop>(&transforms[place])) {
      const ImageShape shape{x.size(0), x.size(1), x.size(2)};
      const CropOffset offset = draw(*crop, shape, key, place);
      const ImageShape window = output_shape(transforms[place], shape);
      const std::int64_t p = crop->padding;
      x = at::constant_pad_nd(x, {p, p, p, p})
              .narrow(1, offset.top + p, window.height)
              .narrow(2, offset.left + p, window.width);
    } else if (const auto* flip = std::get_if<HorizontalFlip>(&transforms[place])) {
      if (draw(*flip, key, place)) x = x.flip(2);
    } else {
      const auto& normalize = std::get<Normalize>(transforms[place]);
      x = (x - at::tensor(normalize.mean).view({-1, 1, 1})) / at::tensor(normalize.stddev).view({-1, 1, 1});
    }
  }
  return x.contiguous();
}

at::Tensor by_writer(const std::vector<Transform>& transforms, const at::Tensor& image, const SampleKey& key,
                     PixelOrder order) {
  const ImageWriter writer(transforms, {image.size(0), image.size(1), image.size(2)}, order);
  const ImageShape& shape = writer.output_shape();
  const bool is_last = order == PixelOrder::channels_last;
  at::Tensor out = is_last ? at::full({shape.height, shape.width, shape.channels}, NAN)
                           : at::full({shape.channels, shape.height, shape.width}, NAN);
  if (image.scalar_type() == at::kByte) {
    writer.write(image.const_data_ptr<std::uint8_t>(), key, out.mutable_data_ptr<float>());
  } else {
    writer.write(image.const_data_ptr<float>(), key, out.mutable_data_ptr<float>());
  }
  return is_last ? out.permute({2, 0, 1}).contiguous() : out;
}

struct Case {
  const char* name;
  std::vector<Transform> transforms;
  bool is_fused;
};

const Normalize kNormalize{{0.48F, 0.25F, 0.4F}, {0.2F, 0.3F, 0.25F}};

std::vector<Case> cases() {
  return {
      {"nothing", {}, true},
      {"crop", {RandomCrop{.padding = 2}}, true},
      {"window", {RandomCrop{.padding = 0, .size = {3, 2}}}, true},
      {"large window", {RandomCrop{.padding = 3, .size = {9, 8}}}, true},
      {"far padding", {RandomCrop{.padding = 20}}, true},
      {"flip", {HorizontalFlip{1}}, true},
      {"crop flip normalize", {RandomCrop{.padding = 2}, HorizontalFlip{}, kNormalize}, true},
      {"flip crop flip crop",
       {HorizontalFlip{1}, RandomCrop{.padding = 2}, HorizontalFlip{1}, RandomCrop{3, {4, 7}}},
       true},
      {"normalize first", {kNormalize, RandomCrop{.padding = 2}, HorizontalFlip{}}, false},
      {"normalize twice", {kNormalize, Normalize{{0.1F}, {2.0F}}}, false},
  };
}

TEST(Transforms, AgreeWithOperatorsAndWriterInEveryBit) {
  for (const ImageShape& shape : {ImageShape{3, 5, 6}, ImageShape{3, 4, 3}}) {
    const at::Tensor bytes = counting_image(shape);
    for (const at::Tensor& image : {bytes, bytes.to(at::kFloat).mul(0.013F).sub(1)}) {
      for (const Case& one : cases()) {
        EXPECT_EQ(ImageWriter(one.transforms, shape, PixelOrder::channels_first).is_fused(), one.is_fused) << one.name;
        for (std::int64_t sample = 0; sample < 25; ++sample) {
          const SampleKey key{.seed = 9, .epoch = 2, .sample = sample};
          const at::Tensor expected = by_operators(one.transforms, image, key);
          EXPECT_TRUE(at::equal(apply(one.transforms, image, key), expected)) << one.name << sample;
          for (const PixelOrder order : {PixelOrder::channels_first, PixelOrder::channels_last}) {
            EXPECT_TRUE(at::equal(by_writer(one.transforms, image, key, order), expected)) << one.name << sample;
          }
        }
      }
    }
  }
}

TEST(Transforms, ApplyToSinglePixelAndNonContiguousImages) {
  const at::Tensor pixel = at::full({1, 1, 1}, 51, at::kByte);
  EXPECT_FLOAT_EQ(apply({Normalize{{0.1F}, {0.5F}}}, pixel, {}).item<float>(), 0.2F);
  const at::Tensor image = counting_image({3, 6, 4}).transpose(1, 2);
  EXPECT_TRUE(at::equal(apply({HorizontalFlip{1}}, image, {}), image.to(at::kFloat).div(255).flip(2)));
}

/// Of an axis with one element the stride may be anything.
TEST(Transforms, ApplyToSingleRowsColumnsAndPixelsInColour) {
  const std::vector<Transform> every = {TrivialAugmentWide{}, RandAugment{}, AutoAugment{}, ColorJitter{.hue = {0.1}},
                                        Resize{{3, 2}}};
  for (const std::int64_t height : {1, 4}) {
    for (const std::int64_t width : {1, 4}) {
      const at::Tensor image = counting_image({3, height, width});
      const at::Tensor interleaved = image.permute({1, 2, 0}).contiguous().permute({2, 0, 1});
      for (const Transform& transform : every) {
        for (std::int64_t sample = 0; sample < 40; ++sample) {
          const SampleKey key{.seed = 3, .sample = sample};
          EXPECT_TRUE(at::equal(apply({transform}, image, key), apply({transform}, interleaved, key))) << sample;
        }
      }
    }
  }
}

TEST(RandomCrop, ReachesEveryPlaceEquallyOften) {
  const ImageShape shape{1, 4, 4};
  std::map<std::pair<std::int64_t, std::int64_t>, int> count;
  for (std::int64_t sample = 0; sample < 2500; ++sample) {
    const auto [top, left] = draw(RandomCrop{.padding = 2}, shape, {.sample = sample}, 0);
    ++count[{top, left}];
  }
  ASSERT_EQ(count.size(), 25U);
  EXPECT_EQ(count.begin()->first, std::make_pair(std::int64_t{-2}, std::int64_t{-2}));
  EXPECT_EQ(count.rbegin()->first, std::make_pair(std::int64_t{2}, std::int64_t{2}));
  // 100 expected in each; five standard deviations of the binomial are 49.
  for (const auto& [place, times] : count) EXPECT_NEAR(times, 100, 49);
}

TEST(HorizontalFlip, HappensAsOftenAsAsked) {
  for (const double probability : {0.0, 0.25, 1.0}) {
    int count = 0;
    for (std::int64_t sample = 0; sample < 4000; ++sample)
      count += draw(HorizontalFlip{probability}, {.sample = sample}, 1);
    EXPECT_NEAR(count, 4000 * probability, probability == 0.25 ? 137 : 0);  // five standard deviations
  }
}

TEST(Transforms, DrawAnewForEverySeedEpochSampleAndPlace) {
  const auto draws = [](SampleKey key, std::size_t place) {
    std::vector<bool> flips;
    for (std::int64_t i = 0; i < 64; ++i) {
      key.sample += 1;
      flips.push_back(draw(HorizontalFlip{}, key, place));
    }
    return flips;
  };
  const auto base = draws({.seed = 1, .epoch = 1, .sample = 0}, 0);
  EXPECT_EQ(base, draws({.seed = 1, .epoch = 1, .sample = 0}, 0));
  EXPECT_NE(base, draws({.seed = 2, .epoch = 1, .sample = 0}, 0));
  EXPECT_NE(base, draws({.seed = 1, .epoch = 2, .sample = 0}, 0));
  EXPECT_NE(base, draws({.seed = 1, .epoch = 1, .sample = 64}, 0));
  EXPECT_NE(base, draws({.seed = 1, .epoch = 1, .sample = 0}, 1));
}

TEST(Transforms, RefuseWhatDoesNotFit) {
  const ImageShape shape{3, 8, 8};
  const auto message = [&](const Transform& transform) -> std::string {
    try {
      output_shape({transform}, shape);
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(message(RandomCrop{.padding = 1, .size = {11, 8}}).find("a window of 11x8 pixels does not fit"),
            std::string::npos);
  EXPECT_NE(message(RandomCrop{.padding = -1}).find("must not be negative"), std::string::npos);
  EXPECT_NE(message(RandomCrop{.padding = std::int64_t{1} << 40}).find("at most"), std::string::npos);
  EXPECT_NE(message(HorizontalFlip{1.5}).find("must lie in 0..1"), std::string::npos);
  EXPECT_NE(message(HorizontalFlip{NAN}).find("must lie in 0..1"), std::string::npos);
  EXPECT_NE(message(Normalize{{0, 0}, {1, 1}}).find("for 3 channels, got 2 and 2"), std::string::npos);
  EXPECT_NE(message(Normalize{{0}, {0}}).find("must be above zero"), std::string::npos);
  EXPECT_NE(message(Normalize{{NAN}, {1}}).find("must be finite"), std::string::npos);
  EXPECT_EQ(message(Normalize{{0}, {1, 2, 3}}), "accepted");
  EXPECT_THROW(apply({}, at::zeros({2, 2}), {}), InvalidArgument);
  EXPECT_THROW(apply({}, at::zeros({1, 2, 2}, at::kInt), {}), InvalidArgument);
}

TEST(ChannelStatistics, EqualThoseOfTheTensor) {
  const at::Tensor images = counting_image({24, 5, 5}).view({8, 3, 5, 5});
  const at::Tensor scaled = images.to(at::kDouble).div(255);
  const auto labels = at::zeros({8}, at::kLong);
  for (const at::Tensor& form : {images, scaled.to(at::kFloat)}) {
    const Normalize got = channel_statistics(*memory_dataset("x", form, labels, {"a"}));
    for (std::int64_t c = 0; c < 3; ++c) {
      const at::Tensor channel = scaled.select(1, c);
      EXPECT_NEAR(got.mean[static_cast<std::size_t>(c)], channel.mean().item<double>(), 1e-6);
      EXPECT_NEAR(got.stddev[static_cast<std::size_t>(c)], channel.std(false).item<double>(), 1e-6);
    }
  }
  EXPECT_THROW(channel_statistics(*memory_dataset("x", at::ones_like(images), labels, {"a"})), InvalidArgument);
}

TEST(ChannelStatistics, NameTheSampleWhosePixelsAreNotFinite) {
  for (const float broken : {NAN, INFINITY}) {
    at::Tensor images = at::rand({4, 1, 3, 3});
    images[2][0][1][1] = broken;
    try {
      channel_statistics(*memory_dataset("x", images, at::zeros({4}, at::kLong), {"a"}));
      ADD_FAILURE() << "accepted " << broken;
    } catch (const InvalidArgument& error) {
      EXPECT_STREQ(error.what(), "[data] sample 2 of x has pixels that are not finite: mend it or take it out.");
    }
  }
}

}  // namespace
}  // namespace limbeck::data
