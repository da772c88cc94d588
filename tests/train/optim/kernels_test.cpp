#include "limbeck/train/optim/kernels/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "limbeck/core/cpu.h"

namespace limbeck::train::kernels {
namespace {

struct Tier {
  const char* name;
  core::Isa isa;
  UpdateKernels<float, float> kernels;
  SplitSgd split_sgd;
};

/// The tiers above the reference that this machine has.
std::vector<Tier> tiers() {
  std::vector<Tier> result;
  for (const Tier& tier : {Tier{"avx2", core::Isa::avx2, avx2_kernels(), avx2_split_sgd()},
                           Tier{"avx512", core::Isa::avx512, avx512_kernels(), avx512_split_sgd()}}) {
    if (core::has_isa(core::cpu_features(), tier.isa)) result.push_back(tier);
  }
  return result;
}

/// Arrays of one parameter: any values, states of squares at least 0.
struct Data {
  explicit Data(int64_t size) : parameter(size), gradient(size), first(size), second(size), third(size) {
    std::mt19937 generator(7);
    std::normal_distribution<float> normal;
    for (std::vector<float>* values : {&parameter, &gradient, &first}) {
      for (float& value : *values) value = normal(generator);
    }
    for (std::vector<float>* values : {&second, &third}) {
      for (float& value : *values) value = std::abs(normal(generator));
    }
  }

  Arrays<float> arrays() { return {parameter.data(), gradient.data(), first.data(), second.data(), third.data()}; }
  std::vector<float> all() const {
    std::vector<float> result;
    for (const std::vector<float>* values : {&parameter, &gradient, &first, &second, &third})
      result.insert(result.end(), values->begin(), values->end());
    return result;
  }

  std::vector<float> parameter, gradient, first, second, third;
};

bool has_same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Every size around the vectors' and blocks', and ranges that begin anywhere.
template <class Run>
void expect_bits_of_reference(const Run& run) {
  for (const Tier& tier : tiers()) {
    for (const int64_t size : {1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 100, 1003}) {
      for (const int64_t begin : {0, 1, 3}) {
        if (begin >= size) continue;
        Data expected(size), actual(size);
        const auto of_reference = run(portable_float_kernels(), expected, Range{begin, size});
        const auto of_tier = run(tier.kernels, actual, Range{begin, size});
        EXPECT_TRUE(has_same_bits(expected.all(), actual.all())) << tier.name << ", " << begin << " to " << size;
        EXPECT_EQ(of_reference, of_tier) << tier.name << ", " << begin << " to " << size;
      }
    }
  }
}

const SgdScalars<float> kSgd{
    .gradient_scale = -0.7F, .weight_decay = 0.1F, .momentum = 0.9F, .gradient_share = 0.6F, .lr = 0.05F};

TEST(UpdateKernels, SgdHasTheReferencesBitsInEveryTier) {
  for (const MomentumUse use : {MomentumUse::none, MomentumUse::first, MomentumUse::continued}) {
    for (const bool nesterov : {false, true}) {
      expect_bits_of_reference([&](const UpdateKernels<float, float>& kernels, Data& data, Range range) {
        SgdScalars<float> scalars = kSgd;
        scalars.use = use;
        scalars.nesterov = nesterov;
        kernels.sgd(data.arrays(), range, scalars);
        return 0;
      });
    }
  }
}

TEST(UpdateKernels, AdamHasTheReferencesBitsInEveryTier) {
  for (const bool amsgrad : {false, true}) {
    expect_bits_of_reference([&](const UpdateKernels<float, float>& kernels, Data& data, Range range) {
      kernels.adam(data.arrays(), range,
                   {.amsgrad = amsgrad,
                    .gradient_scale = 0.7F,
                    .weight_decay = 0.1F,
                    .shrink = 0.99F,
                    .first_share = 0.1F,
                    .second_kept = 0.99F,
                    .second_share = 0.01F,
                    .second_correction = 3.1F,
                    .step_size = 0.02F,
                    .eps = 1e-8F});
      return 0;
    });
  }
}

TEST(UpdateKernels, AdagradHasTheReferencesBitsInEveryTier) {
  expect_bits_of_reference([](const UpdateKernels<float, float>& kernels, Data& data, Range range) {
    for (float& value : data.first) value = std::abs(value);
    kernels.adagrad(data.arrays(), range, {.gradient_scale = 0.7F, .weight_decay = 0.1F, .eps = 1e-10F, .rate = 0.1F});
    return 0;
  });
}

TEST(UpdateKernels, LambHasTheReferencesBitsInEveryTier) {
  expect_bits_of_reference([](const UpdateKernels<float, float>& kernels, Data& data, Range range) {
    LambScalars<float> scalars{.gradient_scale = 0.7F,
                               .weight_decay = 0.1F,
                               .first_share = 0.1F,
                               .second_kept = 0.99F,
                               .second_share = 0.01F,
                               .first_correction = 1.3F,
                               .second_correction = 3.1F,
                               .eps = 1e-6F};
    const SquareSums sums = kernels.lamb_moments(data.arrays(), range, scalars);
    scalars.rate = 0.01F;
    kernels.lamb_apply(data.arrays(), range, scalars);
    return std::pair(sums.parameter, sums.direction);
  });
}

TEST(UpdateKernels, LarsHasTheReferencesBitsInEveryTier) {
  expect_bits_of_reference([](const UpdateKernels<float, float>& kernels, Data& data, Range range) {
    kernels.lars(data.arrays(), range, {.gradient_scale = 0.7F, .weight_decay = 0.1F, .momentum = 0.9F, .rate = 0.01F});
    return kernels.sum_of_squares(data.parameter.data(), range);
  });
}

TEST(UpdateKernels, ScalesWithTheReferencesBitsInEveryTier) {
  expect_bits_of_reference([](const UpdateKernels<float, float>& kernels, Data& data, Range range) {
    kernels.scale(data.parameter.data(), range, 0.3F);
    return 0;
  });
}

TEST(UpdateKernels, LeaveWhatLiesOutsideTheRange) {
  const Range range{5, 90};
  Data data(100);
  const Data before(100);
  portable_float_kernels().sgd(data.arrays(), range, kSgd);
  for (const Tier& tier : tiers()) tier.kernels.sgd(data.arrays(), range, kSgd);
  for (const int64_t outside : {0, 4, 90, 99}) EXPECT_EQ(data.parameter[outside], before.parameter[outside]);
  EXPECT_NE(data.parameter[5], before.parameter[5]);
  EXPECT_NE(data.parameter[89], before.parameter[89]);
}

/// A float32 array split in two.
struct SplitData {
  explicit SplitData(const Data& data) : momentum_buffer(data.first) {
    for (const float value : data.parameter) {
      uint32_t bits = 0;
      std::memcpy(&bits, &value, sizeof(bits));
      top.push_back(static_cast<uint16_t>(bits >> 16));
      rest.push_back(static_cast<uint16_t>(bits));
    }
  }

  std::vector<float> joined() const {
    std::vector<float> result(top.size());
    for (std::size_t i = 0; i < top.size(); ++i) {
      const uint32_t bits = static_cast<uint32_t>(top[i]) << 16 | rest[i];
      std::memcpy(&result[i], &bits, sizeof(bits));
    }
    return result;
  }

  std::vector<uint16_t> top, rest;
  std::vector<float> momentum_buffer;
};

TEST(SplitSgd, HasTheBitsOfFloat32SgdInEveryTier) {
  std::vector<Tier> all = tiers();
  all.push_back({"portable", core::Isa::portable, portable_float_kernels(), portable_split_sgd()});
  for (const Tier& tier : all) {
    for (const MomentumUse use : {MomentumUse::none, MomentumUse::first, MomentumUse::continued}) {
      Data whole(1003);
      std::vector<uint16_t> gradient;  // bfloat16, and the same numbers as float32
      for (float& value : whole.gradient) {
        uint32_t bits = 0;
        std::memcpy(&bits, &value, sizeof(bits));
        gradient.push_back(static_cast<uint16_t>(bits >> 16));
        bits &= 0xFFFF0000U;
        std::memcpy(&value, &bits, sizeof(bits));
      }
      SplitData split(whole);
      SgdScalars<float> scalars = kSgd;
      scalars.use = use;
      portable_float_kernels().sgd(whole.arrays(), {0, 1003}, scalars);
      tier.split_sgd({split.top.data(), split.rest.data(), gradient.data(), split.momentum_buffer.data()}, {0, 1003},
                     scalars);
      EXPECT_TRUE(has_same_bits(split.joined(), whole.parameter)) << tier.name;
      EXPECT_TRUE(has_same_bits(split.momentum_buffer, whole.first)) << tier.name;
    }
  }
}

}  // namespace
}  // namespace limbeck::train::kernels
