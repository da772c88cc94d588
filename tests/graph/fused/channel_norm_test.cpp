#include "limbeck/graph/fused/channel_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

#include "limbeck/core/cpu.h"

namespace limbeck::fused {
namespace {

std::vector<const ChannelNormKernels*> vector_kernels() {
  std::vector<const ChannelNormKernels*> found;
  if (core::has_isa(core::cpu_features(), core::Isa::avx2)) found.push_back(&kChannelNormAvx2);
  if (core::has_isa(core::cpu_features(), core::Isa::avx512)) found.push_back(&kChannelNormAvx512);
  return found;
}

/// Stored rows of either type, made of the same random numbers; some are infinite, zero, huge or NaN where asked for.
struct Elements {
  std::vector<float> f32;
  std::vector<uint16_t> bf16;

  Elements(int64_t count, unsigned seed, bool has_specials = false) : f32(count), bf16(count) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0.3F, 3.0F);
    const float specials[] = {std::nanf(""), std::numeric_limits<float>::infinity(), 0.0F, -0.0F, 6.0F, -200.0F, 3e38F};
    for (int64_t i = 0; i < count; ++i) {
      f32[i] = has_specials && i % 5 == 0 ? specials[(i / 5) % 7] : normal(generator);
      uint32_t bits = 0;
      std::memcpy(&bits, &f32[i], 4);
      bf16[i] = static_cast<uint16_t>(bits >> 16);
    }
  }
  const void* data(Storage storage) const {
    return storage == Storage::f32 ? static_cast<const void*>(f32.data()) : bf16.data();
  }
  void* data(Storage storage) { return storage == Storage::f32 ? static_cast<void*>(f32.data()) : bf16.data(); }
};

using Case = std::tuple<int64_t, Storage, Activation>;
class ChannelNorm : public ::testing::TestWithParam<Case> {};

/// Everything that one set of kernels makes of a case, as bytes.
std::string everything(const ChannelNormKernels& kernels, const Case& parameters, bool has_specials) {
  const auto [channels, storage, activation] = parameters;
  const int64_t rows = 13, count = rows * channels;
  const Elements x(count, 1, has_specials), dy(count, 2), residual(count, 3), y(count, 4);
  const Elements scale(channels, 5), bias(channels, 6), mean(channels, 7), table(2 * channels, 8);
  Elements out(count, 9), out2(count, 10), stored(count, 11);
  std::vector<float> sums(3 * channels, -1.0F), sums2(2 * channels, -1.0F), sums3(2 * channels, -1.0F);
  const RowRange part{.begin = 2, .end = rows};
  kernels.moments(x.data(storage), storage, channels, part, sums.data());
  NormForward forward{.input = x.data(storage),
                      .output = out.data(storage),
                      .mean = mean.f32.data(),
                      .scale = scale.f32.data(),
                      .bias = bias.f32.data(),
                      .channels = channels,
                      .storage = storage,
                      .activation = activation};
  kernels.forward(forward, part);
  std::string bytes(static_cast<const char*>(out.data(storage)), count * 2);
  forward.residual = residual.data(storage);
  kernels.forward(forward, {.begin = 0, .end = 1});
  NormReduction reduction{.grad_output = dy.data(storage),
                          .input = x.data(storage),
                          .mean = mean.f32.data(),
                          .scale = scale.f32.data(),
                          .bias = bias.f32.data(),
                          .channels = channels,
                          .storage = storage,
                          .activation = activation};
  kernels.reduce(reduction, part, sums2.data());
  reduction.output = y.data(storage);
  reduction.grad_activated = stored.data(storage);
  kernels.reduce(reduction, part, sums3.data());
  kernels.backward({.grad_output = dy.data(storage),
                    .input = x.data(storage),
                    .grad_input = out2.data(storage),
                    .mean = mean.f32.data(),
                    .scale = scale.f32.data(),
                    .bias = bias.f32.data(),
                    .mean_grad = table.f32.data(),
                    .slope = table.f32.data() + channels,
                    .channels = channels,
                    .storage = storage,
                    .activation = activation},
                   part);
  for (const std::vector<float>* tensor : {&sums, &sums2, &sums3, &out.f32, &out2.f32, &stored.f32}) {
    for (const float value : *tensor) {
      const float shown = std::isnan(value) ? 7e37F : value;  // which NaN is no promise
      bytes.append(reinterpret_cast<const char*>(&shown), 4);
    }
  }
  for (const Elements* tensor : {&out, &out2, &stored})
    bytes.append(reinterpret_cast<const char*>(tensor->bf16.data()), count * 2);
  return bytes;
}

TEST_P(ChannelNorm, VectorKernelsHaveTheBitsOfThePlainOnes) {
  const std::string expected = everything(kChannelNormPortable, GetParam(), false);
  for (const ChannelNormKernels* kernels : vector_kernels())
    EXPECT_EQ(everything(*kernels, GetParam(), false) == expected, true);
}

TEST_P(ChannelNorm, ActivatesAsInDoublePrecisionAndKeepsNan) {
  const auto [channels, storage, activation] = GetParam();
  if (storage == Storage::bf16) return;
  const Elements x(channels * 3, 1, true), one(channels, 2);
  const std::vector<float> scale(channels, 1.0F), bias(channels, 0.0F);
  for (const ChannelNormKernels* kernels : {&kChannelNormPortable, &channel_norm_kernels()}) {
    std::vector<float> out(channels * 3);
    kernels->forward({.input = x.f32.data(),
                      .output = out.data(),
                      .mean = bias.data(),
                      .scale = scale.data(),
                      .bias = bias.data(),
                      .channels = channels,
                      .activation = activation},
                     {.begin = 0, .end = 3});
    for (std::size_t i = 0; i < out.size(); ++i) {
      const double z = x.f32[i];
      double expected = z;
      if (activation == Activation::relu) expected = z > 0 || std::isnan(z) ? z : 0;
      if (activation == Activation::relu6) expected = std::isnan(z) ? z : std::min(6.0, std::max(0.0, z));
      if (activation == Activation::silu) expected = z / (1 + std::exp(-z));
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(out[i])) << z;
      } else if (std::isfinite(expected)) {
        EXPECT_NEAR(out[i], expected, 3e-7 * std::abs(expected) + 1e-30) << z;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ChannelNorm,
    ::testing::Combine(::testing::Values(1, 3, 8, 16, 24, 61, 64, 100), ::testing::Values(Storage::f32, Storage::bf16),
                       ::testing::Values(Activation::none, Activation::relu, Activation::relu6, Activation::silu)));

TEST(ChannelNormMoments, KeepTheVarianceOfChannelsFarFromZero) {
  std::vector<float> x(1000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 10000.0F + static_cast<float>(i % 2);
  float sums[3];
  channel_norm_kernels().moments(x.data(), Storage::f32, 1, {.begin = 0, .end = 1000}, sums);
  EXPECT_EQ(sums[2], 10000.0F);
  EXPECT_EQ(sums[1] - sums[0] * sums[0] / 1000, 250.0F);
}

}  // namespace
}  // namespace limbeck::fused
