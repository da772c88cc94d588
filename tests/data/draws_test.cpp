// The choices of random transforms, by their distribution: 4,000 draws, and bounds of five standard deviations.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/data/transforms.h"
#include "limbeck/data/transforms/augment_policies.h"
#include "limbeck/data/transforms/mix.h"

namespace limbeck::data {
namespace {

constexpr std::int64_t kDraws = 4000;

// Five standard deviations of how often something of probability p happens.
double five_sigma(double p) { return 5 * std::sqrt(kDraws * p * (1 - p)); }

SampleKey key_of(std::int64_t sample) { return {.seed = 3, .epoch = 1, .sample = sample}; }

TEST(RandomResizedCrop, DrawsAreaRatioAndPlaceUniformly) {
  const RandomResizedCrop crop{.size = {8}, .scale = {0.05, 0.25}};  // every such box fits into the image
  const Size image{600, 800};
  std::int64_t large = 0, wide = 0, in_upper_half = 0;
  for (std::int64_t i = 0; i < kDraws; ++i) {
    const Box box = draw(crop, image, key_of(i), 0);
    const double share = static_cast<double>(box.height * box.width) / (600. * 800.);
    const double ratio = static_cast<double>(box.width) / static_cast<double>(box.height);
    EXPECT_TRUE(box.top >= 0 && box.top + box.height <= image.height);
    EXPECT_TRUE(box.left >= 0 && box.left + box.width <= image.width);
    EXPECT_TRUE(share > 0.049 && share < 0.251 && ratio > 0.74 && ratio < 1.35);
    large += share > 0.1;
    wide += ratio > 1;
    in_upper_half += 2 * box.top < image.height - box.height;
  }
  EXPECT_NEAR(large, kDraws * 0.75, five_sigma(0.75));
  EXPECT_NEAR(wide, kDraws * 0.5, five_sigma(0.5));
  EXPECT_NEAR(in_upper_half, kDraws * 0.5, five_sigma(0.5));
}

TEST(RandomResizedCrop, TakesTheMiddleWhereNothingFits) {
  EXPECT_EQ(draw(RandomResizedCrop{.size = {8}}, {10, 4000}, key_of(0), 0), (Box{0, 1993, 10, 13}));
  EXPECT_EQ(draw(RandomResizedCrop{.size = {8}}, {4000, 10}, key_of(0), 0), (Box{1993, 0, 13, 10}));
  EXPECT_EQ(draw(RandomResizedCrop{.size = {8}, .scale = {1, 1}, .ratio = {0.5, 0.5}}, {30, 30}, key_of(0), 0),
            (Box{0, 7, 30, 15}));
  EXPECT_EQ(draw(RandomResizedCrop{.size = {8}}, {1, 1}, key_of(0), 0), (Box{0, 0, 1, 1}));
}

TEST(RandomErasing, HappensAsOftenAsAskedInsideTheImage) {
  const RandomErasing erasing{.probability = 0.25};
  const Size image{64, 48};
  std::int64_t erased = 0;
  for (std::int64_t i = 0; i < kDraws; ++i) {
    const auto box = draw(erasing, image, key_of(i), 0);
    if (!box) continue;
    ++erased;
    const double share = static_cast<double>(box->height * box->width) / (64. * 48.);
    EXPECT_GT(share, 0.015);
    EXPECT_LT(share, 0.34);
    EXPECT_LT(box->height, image.height);
    EXPECT_LE(box->left + box->width, image.width);
  }
  EXPECT_NEAR(erased, kDraws * 0.25, five_sigma(0.25) + 10);  // the few boxes that never fitted are missing
  const auto of_one_pixel = draw(RandomErasing{.probability = 1}, {1, 1}, key_of(0), 0);
  EXPECT_TRUE(!of_one_pixel || of_one_pixel->height * of_one_pixel->width == 0);
}

TEST(ColorJitter, DrawsFactorsAndOrders) {
  const ColorJitter jitter{.brightness = {0.4}, .contrast = {2.0}, .saturation = {0.5, 0.6}, .hue = {0.1}};
  std::map<std::array<int, 4>, std::int64_t> orders;
  std::int64_t brighter = 0;
  for (std::int64_t i = 0; i < kDraws; ++i) {
    const ColorChange change = draw(jitter, key_of(i), 0);
    ++orders[change.order];
    brighter += *change.brightness > 1;
    EXPECT_TRUE(*change.brightness >= 0.6 && *change.brightness <= 1.4);
    EXPECT_TRUE(*change.contrast >= 0 && *change.contrast <= 3);
    EXPECT_TRUE(*change.saturation >= 0.5 && *change.saturation <= 0.6);
    EXPECT_TRUE(*change.hue >= -0.1 && *change.hue <= 0.1);
  }
  EXPECT_NEAR(brighter, kDraws * 0.5, five_sigma(0.5));
  ASSERT_EQ(orders.size(), 24U);
  for (const auto& [order, count] : orders) EXPECT_NEAR(count, kDraws / 24., five_sigma(1. / 24));
  const ColorChange nothing = draw(ColorJitter{}, key_of(0), 0);
  EXPECT_FALSE(nothing.brightness || nothing.contrast || nothing.saturation || nothing.hue);
}

TEST(TrivialAugmentWide, DrawsOneOfFourteenAtAnyStrength) {
  std::map<AugmentKind, std::int64_t> kinds;
  std::set<double> rotations;
  for (std::int64_t i = 0; i < kDraws; ++i) {
    const auto ops = draw(TrivialAugmentWide{}, Size{32, 32}, key_of(i), 0);
    ASSERT_EQ(ops.size(), 1U);
    ++kinds[ops[0].kind];
    if (ops[0].kind == AugmentKind::rotate) rotations.insert(std::round(ops[0].magnitude * 10));
    if (ops[0].kind == AugmentKind::posterize) {
      EXPECT_TRUE(ops[0].magnitude >= 2 && ops[0].magnitude <= 8);
    }
  }
  EXPECT_EQ(kinds.size(), 14U);
  EXPECT_EQ(kinds.count(AugmentKind::invert), 0U);
  for (const auto& [kind, count] : kinds) EXPECT_NEAR(count, kDraws / 14., five_sigma(1. / 14));
  EXPECT_GT(rotations.size(), 50U) << "30 magnitudes of either sign, and zero";
  EXPECT_EQ(*rotations.rbegin(), 1350);
}

TEST(RandAugment, HasItsMagnitudeAndNumberOfOperations) {
  std::int64_t negative = 0, rotations = 0;
  for (std::int64_t i = 0; i < kDraws; ++i) {
    const auto ops = draw(RandAugment{.num_ops = 3, .magnitude = 15}, Size{331, 662}, key_of(i), 0);
    ASSERT_EQ(ops.size(), 3U);
    for (const AugmentOp& op : ops) {
      if (op.kind == AugmentKind::translate_x) {
        EXPECT_NEAR(std::abs(op.magnitude), 150, 1e-9);
      }
      if (op.kind == AugmentKind::translate_y) {
        EXPECT_NEAR(std::abs(op.magnitude), 75, 1e-9);
      }
      if (op.kind == AugmentKind::posterize) {
        EXPECT_EQ(op.magnitude, 6);
      }
      if (op.kind == AugmentKind::solarize) {
        EXPECT_EQ(op.magnitude, 0.5);
      }
      if (op.kind != AugmentKind::rotate) continue;
      EXPECT_EQ(std::abs(op.magnitude), 15);
      ++rotations;
      negative += op.magnitude < 0;
    }
  }
  EXPECT_NEAR(rotations, 3 * kDraws / 14., five_sigma(1. / 14) * std::sqrt(3));
  EXPECT_NEAR(negative, rotations / 2., 5 * std::sqrt(rotations * 0.25));
  EXPECT_TRUE(draw(RandAugment{.num_ops = 0}, Size{8, 8}, key_of(0), 0).empty());
}

TEST(AutoAugment, DrawsOperationsAsOftenAsItsPoliciesSay) {
  for (const auto policy : {AutoAugmentPolicy::imagenet, AutoAugmentPolicy::cifar10, AutoAugmentPolicy::svhn}) {
    std::map<AugmentKind, double> expected, count;
    for (const SubPolicy& pair : sub_policies(policy)) {
      for (const PolicyStep& step : pair) expected[step.kind] += step.probability / 25;
    }
    for (std::int64_t i = 0; i < kDraws; ++i) {
      for (const AugmentOp& op : draw(AutoAugment{policy}, Size{32, 32}, key_of(i), 0)) ++count[op.kind];
    }
    for (const auto& [kind, mean] : expected) {
      EXPECT_NEAR(count[kind], kDraws * mean, 5 * std::sqrt(kDraws * 2 * mean) + 1) << augment_name(kind);
    }
  }
}

TEST(MixUp, DrawsSharesFromTheBetaDistribution) {
  for (const double alpha : {0.2, 1.0, 4.0}) {
    double sum = 0, squares = 0;
    for (std::int64_t i = 0; i < kDraws; ++i) {
      const Mixture mixture = draw(MixUp{alpha}, Size{8, 8}, key_of(i));
      EXPECT_FALSE(mixture.box);
      EXPECT_TRUE(mixture.lambda >= 0 && mixture.lambda <= 1);
      sum += mixture.lambda;
      squares += mixture.lambda * mixture.lambda;
    }
    const double mean = sum / kDraws, variance = squares / kDraws - mean * mean;
    const double expected_variance = 1 / (4 * (2 * alpha + 1));
    EXPECT_NEAR(mean, 0.5, 5 * std::sqrt(expected_variance / kDraws));
    EXPECT_NEAR(variance, expected_variance, 0.1 * expected_variance);
  }
}

TEST(CutMix, GivesTheShareOfTheBoxAway) {
  const Size image{40, 60};
  double sum = 0;
  for (std::int64_t i = 0; i < kDraws; ++i) {
    const Mixture mixture = draw(CutMix{}, image, key_of(i));
    ASSERT_TRUE(mixture.box);
    const Box& box = *mixture.box;
    EXPECT_TRUE(box.top >= 0 && box.left >= 0 && box.height >= 0 && box.width >= 0);
    EXPECT_TRUE(box.top + box.height <= image.height && box.left + box.width <= image.width);
    EXPECT_DOUBLE_EQ(mixture.lambda, 1 - static_cast<double>(box.height * box.width) / 2400);
    sum += mixture.lambda;
  }
  EXPECT_GT(sum / kDraws, 0.5) << "what lies outside of the image is not given away";
  EXPECT_LT(sum / kDraws, 0.75);
}

TEST(Draws, DependOnSeedEpochSampleAndPlaceAlone) {
  const RandomResizedCrop crop{.size = {8}};
  const Size image{600, 800};
  const Box box = draw(crop, image, {1, 2, 3}, 4);
  EXPECT_EQ(draw(crop, image, {1, 2, 3}, 4), box);
  EXPECT_NE(draw(crop, image, {2, 2, 3}, 4), box);
  EXPECT_NE(draw(crop, image, {1, 3, 3}, 4), box);
  EXPECT_NE(draw(crop, image, {1, 2, 4}, 4), box);
  EXPECT_NE(draw(crop, image, {1, 2, 3}, 5), box);
}

std::string refusal_of(const Transform& transform) {
  try {
    output_shape({transform}, {3, 8, 8});
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(RandomTransforms, RefuseOptionsOutOfRange) {
  EXPECT_NE(refusal_of(RandomResizedCrop{}).find("size must be one side or height and width"), std::string::npos);
  EXPECT_NE(refusal_of(RandomResizedCrop{.size = {8}, .scale = {0.5, 0.1}}).find("scale must be two numbers"),
            std::string::npos);
  EXPECT_NE(refusal_of(RandomResizedCrop{.size = {8}, .ratio = {0, 1}}).find("ratio"), std::string::npos);
  EXPECT_NE(refusal_of(RandomErasing{.value = {1, 2}}).find("one value, or 3 for 3 channels"), std::string::npos);
  EXPECT_NE(refusal_of(RandomErasing{.scale = {0, 2}}).find("scale"), std::string::npos);
  EXPECT_NE(refusal_of(ColorJitter{.brightness = {-1}}).find("brightness"), std::string::npos);
  EXPECT_NE(refusal_of(ColorJitter{.hue = {0.6}}).find("hue"), std::string::npos);
  EXPECT_NE(refusal_of(ColorJitter{.contrast = {1, 2, 3}}).find("contrast"), std::string::npos);
  EXPECT_NE(refusal_of(RandAugment{.magnitude = 31}).find("magnitude must be 0 to 30"), std::string::npos);
  EXPECT_NE(refusal_of(TrivialAugmentWide{0}).find("num_magnitude_bins"), std::string::npos);
  EXPECT_NE(refusal_of(VerticalFlip{2}).find("must lie in 0..1"), std::string::npos);
  EXPECT_NE(refusal_of(Pad{{1, 2, 3}}).find("got 3"), std::string::npos);
  EXPECT_NE(refusal_of(Resize{{8}, 8}).find("max_size must be larger"), std::string::npos);
  EXPECT_THROW(check(MixUp{0}), InvalidArgument);
  EXPECT_THROW(check(CutMix{NAN}), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::data
