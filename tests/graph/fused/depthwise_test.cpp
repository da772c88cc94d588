#include "limbeck/graph/fused/depthwise.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <ostream>

#include "limbeck/core/cpu.h"
#include "limbeck/core/error.h"

namespace limbeck::fused {

namespace {

struct Case {
  int64_t batch, channels, height, width, kernel_height, kernel_width, stride, padding;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.batch << "x" << c.channels << "x" << c.height << "x" << c.width << ", kernel " << c.kernel_height
             << "x" << c.kernel_width << ", stride " << c.stride << ", padding " << c.padding;
}

/// Channels below, at and above the vectors' widths; kernels of each loop; images smaller than the kernel.
const Case kCases[] = {
    {2, 16, 7, 7, 3, 3, 1, 1},  {3, 32, 9, 8, 3, 3, 2, 1},  {1, 1, 5, 5, 3, 3, 1, 1},   {2, 7, 6, 11, 5, 5, 1, 2},
    {2, 40, 10, 9, 5, 5, 2, 2}, {1, 100, 4, 4, 3, 3, 1, 0}, {9, 24, 5, 6, 3, 3, 2, 0},  {2, 33, 3, 3, 7, 7, 1, 3},
    {1, 8, 2, 2, 5, 5, 1, 2},   {2, 19, 12, 3, 4, 2, 3, 1}, {2, 48, 1, 1, 3, 3, 2, 1},  {1, 17, 8, 8, 1, 3, 1, 1},
    {2, 64, 6, 6, 3, 5, 1, 2},  {11, 3, 4, 5, 3, 3, 1, 1},  {1, 130, 7, 5, 3, 3, 2, 1},
};

struct Problem {
  at::Tensor input, weight, gradient;
  DepthwiseConvolution convolution;
};

Problem make_problem(const Case& c, at::ScalarType dtype) {
  at::manual_seed(7);
  const auto draw = [&](at::IntArrayRef sizes) { return at::randn(sizes, at::kFloat).to(dtype); };
  Problem problem{.input = draw({c.batch, c.channels, c.height, c.width}).contiguous(at::MemoryFormat::ChannelsLast),
                  .weight = draw({c.channels, 1, c.kernel_height, c.kernel_width}),
                  .gradient = {},
                  .convolution = {.stride = {c.stride, c.stride}, .padding = {c.padding, c.padding}}};
  const at::Tensor output = at::conv2d(problem.input, problem.weight, {}, problem.convolution.stride,
                                       problem.convolution.padding, {1, 1}, c.channels);
  problem.gradient = draw(output.sizes()).contiguous(at::MemoryFormat::ChannelsLast);
  return problem;
}

/// ATen's gradients in float64 of what the problem's tensors hold.
DepthwiseGradients reference(const Problem& problem) {
  const auto [input, weight, bias] = at::convolution_backward(
      problem.gradient.to(at::kDouble), problem.input.to(at::kDouble), problem.weight.to(at::kDouble), {},
      problem.convolution.stride, problem.convolution.padding, {1, 1}, false, {0, 0}, problem.input.size(1),
      {true, true, false});
  return {.input = input, .weight = weight};
}

double relative_error(const at::Tensor& value, const at::Tensor& expected) {
  return (value.to(at::kDouble) - expected).abs().max().item<double>() /
         std::max(expected.abs().max().item<double>(), 1e-30);
}

std::vector<core::Isa> tiers() {
  std::vector<core::Isa> found = {core::Isa::portable};
  for (const core::Isa isa : {core::Isa::avx2, core::Isa::avx512}) {
    if (core::is_isa_enabled(isa)) found.push_back(isa);
  }
  return found;
}

TEST(DepthwiseGradients, AreThoseOfFloat64ToRounding) {
  for (const auto& [dtype, tolerance] : {std::pair(at::kFloat, 2e-6), std::pair(at::kBFloat16, 8e-3)}) {
    for (const Case& c : kCases) {
      const Problem problem = make_problem(c, dtype);
      const DepthwiseGradients expected = reference(problem);
      for (const core::Isa isa : tiers()) {
        const DepthwiseGradients made =
            depthwise_gradients(problem.gradient, problem.input, problem.weight, problem.convolution, {}, isa);
        EXPECT_EQ(made.input.scalar_type(), dtype);
        EXPECT_TRUE(made.input.is_contiguous(at::MemoryFormat::ChannelsLast));
        EXPECT_LE(relative_error(made.input, expected.input), tolerance) << c << ", " << core::isa_name(isa);
        EXPECT_LE(relative_error(made.weight, expected.weight), tolerance) << c << ", " << core::isa_name(isa);
      }
    }
  }
}

TEST(DepthwiseGradients, HaveTheSameBitsInEveryTierAndForAnyNumberOfThreads) {
  const int threads = at::get_num_threads();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const Case& c : kCases) {
      const Problem problem = make_problem(c, dtype);
      const auto run = [&](core::Isa isa) {
        return depthwise_gradients(problem.gradient, problem.input, problem.weight, problem.convolution, {}, isa);
      };
      at::set_num_threads(1);
      const DepthwiseGradients plain = run(core::Isa::portable);
      at::set_num_threads(threads);
      for (const core::Isa isa : tiers()) {
        const DepthwiseGradients made = run(isa);
        EXPECT_TRUE(at::equal(made.input, plain.input)) << c << ", " << core::isa_name(isa);
        EXPECT_TRUE(at::equal(made.weight, plain.weight)) << c << ", " << core::isa_name(isa);
      }
    }
  }
}

TEST(DepthwiseGradients, TakeTensorsInAnyOrderOfMemory) {
  const Problem problem = make_problem({2, 12, 6, 5, 3, 3, 2, 1}, at::kFloat);
  const DepthwiseGradients expected =
      depthwise_gradients(problem.gradient, problem.input, problem.weight, problem.convolution);
  const DepthwiseGradients made =
      depthwise_gradients(problem.gradient.contiguous(), problem.input.transpose(2, 3).contiguous().transpose(2, 3),
                          problem.weight.contiguous(at::MemoryFormat::ChannelsLast), problem.convolution);
  EXPECT_TRUE(at::equal(made.input, expected.input));
  EXPECT_TRUE(at::equal(made.weight, expected.weight));
}

TEST(DepthwiseGradients, AreMadeOnlyWhereWanted) {
  const Problem problem = make_problem({1, 4, 4, 4, 3, 3, 1, 1}, at::kFloat);
  const auto run = [&](DepthwiseWants wants) {
    return depthwise_gradients(problem.gradient, problem.input, problem.weight, problem.convolution, wants);
  };
  EXPECT_FALSE(run({.input = false}).input.defined());
  EXPECT_TRUE(run({.input = false}).weight.defined());
  EXPECT_FALSE(run({.weight = false}).weight.defined());
}

TEST(DepthwiseGradients, RefuseWhatDoesNotFit) {
  const Problem problem = make_problem({1, 4, 4, 4, 3, 3, 1, 1}, at::kFloat);
  EXPECT_THROW(depthwise_gradients(problem.gradient, problem.input.to(at::kDouble), problem.weight, {}),
               InvalidArgument);
  EXPECT_THROW(
      depthwise_gradients(problem.gradient, problem.input, problem.weight, {.stride = {2, 2}, .padding = {1, 1}}),
      InvalidArgument);
  EXPECT_THROW(
      depthwise_gradients(problem.gradient, problem.input, problem.weight.repeat({1, 2, 1, 1}), problem.convolution),
      InvalidArgument);
}

/// Gradients of sum(output * gradient) for input, weight and bias.
std::vector<at::Tensor> through_autograd(const Problem& problem, const auto& convolve) {
  std::vector<at::Tensor> leaves = {problem.input.detach().requires_grad_(), problem.weight.detach().requires_grad_(),
                                    at::ones({problem.weight.size(0)}, problem.weight.options()).requires_grad_()};
  const at::Tensor output = convolve(leaves);
  std::vector<at::Tensor> made = torch::autograd::grad({(output * problem.gradient).sum()}, leaves);
  made.push_back(output.detach());
  return made;
}

std::vector<at::Tensor> own(const Problem& problem) {
  return through_autograd(problem, [&](const std::vector<at::Tensor>& leaves) {
    return depthwise_conv2d(leaves[0], leaves[1], leaves[2], problem.convolution);
  });
}

std::vector<at::Tensor> library(const Problem& problem) {
  return through_autograd(problem, [&](const std::vector<at::Tensor>& leaves) {
    return at::conv2d(leaves[0], leaves[1], leaves[2], problem.convolution.stride, problem.convolution.padding, {1, 1},
                      leaves[1].size(0));
  });
}

TEST(DepthwiseConv2d, IsConv2dWithItsGradients) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const Problem problem = make_problem({2, 24, 7, 6, 5, 5, 2, 2}, dtype);
    const std::vector<at::Tensor> made = own(problem), expected = library(problem);
    for (std::size_t i = 0; i < made.size(); ++i)
      EXPECT_LE(relative_error(made[i], expected[i].to(at::kDouble)), 2e-6) << i << " " << dtype;
    EXPECT_TRUE(at::equal(made.back(), expected.back()));
  }
}

/// Autocast to bfloat16 on the CPU for a block.
struct Bfloat16Autocast {
  Bfloat16Autocast() { at::autocast::set_autocast_enabled(at::kCPU, true); }
  ~Bfloat16Autocast() {
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
};

TEST(DepthwiseConv2d, FollowsAutocast) {
  const Problem problem = make_problem({2, 24, 7, 6, 3, 3, 2, 1}, at::kFloat);
  const Bfloat16Autocast autocast;
  const std::vector<at::Tensor> made = own(problem), expected = library(problem);
  for (std::size_t i = 0; i < made.size(); ++i) {
    EXPECT_EQ(made[i].scalar_type(), expected[i].scalar_type()) << i;
    EXPECT_LE(relative_error(made[i], expected[i].to(at::kDouble)), 1e-2) << i;
  }
  EXPECT_EQ(made.back().scalar_type(), at::kBFloat16);
  EXPECT_EQ(made[1].scalar_type(), at::kFloat);
}

TEST(DepthwiseConv2d, HasGradientsOfGradients) {
  const Problem problem = make_problem({1, 5, 4, 4, 3, 3, 1, 1}, at::kFloat);
  const auto second = [&](const auto& convolve) {
    const at::Tensor input = problem.input.detach().requires_grad_(), weight = problem.weight.detach().requires_grad_();
    const at::Tensor first = torch::autograd::grad({convolve(input, weight).pow(2).sum()}, {input}, {}, true, true)[0];
    return torch::autograd::grad({first.pow(2).sum()}, {weight})[0];
  };
  const at::Tensor made = second([&](const at::Tensor& input, const at::Tensor& weight) {
    return depthwise_conv2d(input, weight, std::nullopt, problem.convolution);
  });
  const at::Tensor expected = second([&](const at::Tensor& input, const at::Tensor& weight) {
    return at::conv2d(input, weight, {}, problem.convolution.stride, problem.convolution.padding, {1, 1}, 5);
  });
  EXPECT_LE(relative_error(made, expected.to(at::kDouble)), 1e-5);
}

}  // namespace

}  // namespace limbeck::fused
