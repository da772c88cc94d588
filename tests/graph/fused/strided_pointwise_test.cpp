#include "limbeck/graph/fused/strided_pointwise.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <vector>

namespace limbeck::fused {
namespace {

/// Outputs and the gradients for input, weight and bias, in double, where no library has a special kernel.
std::vector<at::Tensor> in_double(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                                  const std::array<int64_t, 2>& stride, int64_t groups) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& tensor : {input, weight, bias})
    leaves.push_back(tensor.detach().to(at::kDouble).requires_grad_());
  const at::Tensor output =
      at::conv2d(leaves[0], leaves[1], leaves[2], stride, at::IntArrayRef{0, 0}, at::IntArrayRef{1, 1}, groups);
  std::vector<at::Tensor> all = torch::autograd::grad({output.square().sum()}, leaves);
  all.push_back(output.detach());
  return all;
}

/// The batch sizes at which libtorch's own gradient writes outside its memory are among these.
TEST(StridedPointwiseConv2d, IsConv2dWithItsGradients) {
  at::manual_seed(11);
  for (const int64_t batch : {1, 31, 32}) {
    for (const auto& [stride, groups] : {std::pair(std::array<int64_t, 2>{2, 2}, 1), {{2, 1}, 2}, {{3, 2}, 1}}) {
      std::vector<at::Tensor> leaves = {at::randn({batch, 8, 32, 31}).contiguous(at::MemoryFormat::ChannelsLast),
                                        at::randn({16, 8 / groups, 1, 1}), at::randn({16})};
      for (at::Tensor& leaf : leaves) leaf.requires_grad_();
      const std::vector<at::Tensor> expected = in_double(leaves[0], leaves[1], leaves[2], stride, groups);
      const at::Tensor output = strided_pointwise_conv2d(leaves[0], leaves[1], leaves[2], stride, groups);
      EXPECT_TRUE(output.is_contiguous(at::MemoryFormat::ChannelsLast));
      std::vector<at::Tensor> made = torch::autograd::grad({output.square().sum()}, leaves);
      made.push_back(output.detach());
      for (std::size_t i = 0; i < made.size(); ++i) {
        const double scale = expected[i].abs().max().item<double>();
        EXPECT_LE((made[i].to(at::kDouble) - expected[i]).abs().max().item<double>(), 3e-6 * scale)
            << i << ", batch " << batch;
      }
    }
  }
}

}  // namespace
}  // namespace limbeck::fused
