#include "limbeck/graph/fused/patch_conv2d.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

namespace limbeck::fused {
namespace {

/// In float64: output and gradients to the last digits, images that are no whole number of patches, both orders of
/// memory.
TEST(PatchConv2d, IsConv2dWithItsGradients) {
  at::manual_seed(4);
  for (const at::MemoryFormat format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    std::vector<at::Tensor> leaves = {at::randn({2, 3, 19, 25}, at::kDouble).contiguous(format),
                                      at::randn({5, 3, 8, 9}, at::kDouble).contiguous(format),
                                      at::randn({5}, at::kDouble)};
    for (at::Tensor& leaf : leaves) leaf.requires_grad_();
    const at::Tensor made = patch_conv2d(leaves[0], leaves[1], leaves[2]);
    const at::Tensor expected = at::conv2d(leaves[0], leaves[1], leaves[2], at::IntArrayRef{8, 9});
    EXPECT_TRUE(at::allclose(made, expected, 1e-12, 1e-12));
    const auto gradients = torch::autograd::grad({made.square().sum()}, leaves);
    const auto exact = torch::autograd::grad({expected.square().sum()}, leaves);
    for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_TRUE(at::allclose(gradients[i], exact[i], 1e-11, 1e-11)) << i;
  }
}

}  // namespace
}  // namespace limbeck::fused
