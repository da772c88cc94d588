#include "limbeck/graph/fused/strided_pointwise.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <vector>

namespace limbeck::fused {
namespace {

using Stride = std::array<int64_t, 2>;

/// The gradients for input, weight and bias of a sum of squares, and the output.
template <class Convolve>
std::vector<at::Tensor> run(const std::vector<at::Tensor>& values, at::ScalarType type, const Convolve& convolve) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& value : values) leaves.push_back(value.detach().to(type).requires_grad_());
  const at::Tensor output = convolve(leaves);
  std::vector<at::Tensor> made = torch::autograd::grad({output.square().sum()}, leaves);
  made.push_back(output.detach());
  return made;
}

/// In double, where no library has a kernel of its own, to the last digits; in float32 to the rounding of sums of up to
/// 16,000 products, at batch sizes for which libtorch's own gradient writes outside its memory, too.
TEST(StridedPointwiseConv2d, IsConv2dWithItsGradients) {
  at::manual_seed(11);
  for (const int64_t batch : {1, 31, 32}) {
    for (const auto& [stride, groups] : {std::pair(Stride{2, 2}, 1), {Stride{2, 1}, 2}, {Stride{3, 2}, 1}}) {
      const std::vector<at::Tensor> values = {at::randn({batch, 8, 32, 31}).contiguous(at::MemoryFormat::ChannelsLast),
                                              at::randn({16, 8 / groups, 1, 1}), at::randn({16})};
      const auto library = [&, &stride = stride, &groups = groups](const std::vector<at::Tensor>& leaves) {
        return at::conv2d(leaves[0], leaves[1], leaves[2], at::IntArrayRef(stride), at::IntArrayRef{0, 0},
                          at::IntArrayRef{1, 1}, groups);
      };
      const auto own = [&, &stride = stride, &groups = groups](const std::vector<at::Tensor>& leaves) {
        return strided_pointwise_conv2d(leaves[0], leaves[1], leaves[2], stride, groups);
      };
      const std::vector<at::Tensor> expected = run(values, at::kDouble, library);
      for (const auto& [type, tolerance] : {std::pair(at::kDouble, 1e-13), std::pair(at::kFloat, 1e-5)}) {
        const std::vector<at::Tensor> made = run(values, type, own);
        for (std::size_t i = 0; i < made.size(); ++i) {
          const double error = (made[i].to(at::kDouble) - expected[i]).abs().max().item<double>();
          EXPECT_LE(error, tolerance * expected[i].abs().max().item<double>()) << i << ", batch " << batch;
        }
        EXPECT_TRUE(made.back().is_contiguous(at::MemoryFormat::ChannelsLast));
      }
    }
  }
}

}  // namespace
}  // namespace limbeck::fused
