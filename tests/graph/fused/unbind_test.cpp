#include "limbeck/graph/fused/attention/unbind.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

namespace limbeck::fused {
namespace {

TEST(Neighbours, AreSlicesOfOneTensor) {
  const at::Tensor whole = at::zeros({2, 3, 4});
  for (const int64_t axis : {0, 1, 2}) EXPECT_TRUE(neighbours(whole.unbind(axis))) << axis;
  const std::vector<at::Tensor> parts = whole.unbind(1);
  EXPECT_FALSE(neighbours({parts[0]}));
  EXPECT_FALSE(neighbours({parts[1], parts[0], parts[2]}));
  EXPECT_FALSE(neighbours({parts[0], parts[2], parts[1]}));
  EXPECT_FALSE(neighbours({parts[0], parts[0]}));
  EXPECT_FALSE(neighbours({parts[0], parts[1].clone()}));
  EXPECT_FALSE(neighbours({parts[0], parts[1].t()}));
}

/// The gradient of a weighted sum of the parts: of all of them, of one alone; and the gradient of its gradient.
TEST(Unbind, IsUnbindWithItsGradients) {
  at::manual_seed(8);
  const at::Tensor x = at::randn({4, 3, 5}).requires_grad_(), weights = at::randn({4, 3, 5});
  for (const int64_t axis : {0, 1, 2, -2}) {
    const std::vector<at::Tensor> made = fused::unbind(x, axis), expected = x.unbind(axis),
                                  factors = weights.unbind(axis);
    ASSERT_EQ(made.size(), expected.size());
    at::Tensor all = at::zeros({}), all_expected = at::zeros({});
    for (std::size_t i = 0; i < made.size(); ++i) {
      EXPECT_TRUE(at::equal(made[i], expected[i]));
      all = all + (made[i].square() * factors[i]).sum();
      all_expected = all_expected + (expected[i].square() * factors[i]).sum();
    }
    EXPECT_TRUE(at::equal(torch::autograd::grad({all}, {x}, {}, true)[0],
                          torch::autograd::grad({all_expected}, {x}, {}, true)[0]));
    EXPECT_TRUE(at::equal(torch::autograd::grad({made[1].sum()}, {x}, {}, true)[0],
                          torch::autograd::grad({expected[1].sum()}, {x}, {}, true)[0]));
    const auto second = [&](const at::Tensor& loss) {
      const at::Tensor first = torch::autograd::grad({loss}, {x}, {}, true, true)[0];
      return torch::autograd::grad({first.square().sum()}, {x})[0];
    };
    EXPECT_TRUE(at::equal(second(all), second(all_expected)));
  }
}

/// Gradients that are slices of one tensor come back as that tensor.
TEST(Unbind, DoesNotCopyGradientsThatLieTogether) {
  const at::Tensor x = at::randn({2, 3, 4}).requires_grad_();
  const at::Tensor whole = at::randn({2, 4, 3}).permute({0, 2, 1});
  const at::Tensor gradient = torch::autograd::grad(fused::unbind(x, 1), {x}, whole.unbind(1))[0];
  EXPECT_TRUE(gradient.is_alias_of(whole));
  EXPECT_TRUE(at::equal(gradient, whole));
}

TEST(Unbind, WithoutGradientsIsAtens) {
  const at::Tensor x = at::randn({2, 3});
  EXPECT_TRUE(fused::unbind(x, 0)[1].is_alias_of(x));
}

}  // namespace
}  // namespace limbeck::fused
