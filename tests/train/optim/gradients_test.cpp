#include "limbeck/train/optim/gradients.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "limbeck/core/error.h"

namespace limbeck::train {
namespace {

at::Tensor leaf(std::vector<float> values) { return at::tensor(values).set_requires_grad(true); }

TEST(GradientStatistics, AreTheJointNormOfAnyLayoutAndType) {
  const at::Tensor a = at::randn({100, 301}), b = at::randn({7, 3, 5, 5}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor c = at::randn({40}, at::kDouble), d = at::randn({9, 9}).slice(1, 0, 9, 2), undefined;
  const at::Tensor e = at::randn({33}).to(at::kBFloat16), scalar = at::randn({}), empty = at::empty({0, 3});
  double expected = 0;
  for (const at::Tensor& tensor : {a, b, c, d, e, scalar})
    expected += tensor.to(at::kDouble).square().sum().item<double>();
  const std::vector<at::Tensor> all = {a, b, undefined, c, d, e, scalar, empty};
  const GradientStatistics found = gradient_statistics(all);
  EXPECT_NEAR(found.norm, std::sqrt(expected), 1e-12 * std::sqrt(expected));
  EXPECT_TRUE(found.is_finite);
  EXPECT_EQ(gradient_statistics({}).norm, 0);
}

TEST(GradientStatistics, SeeASingleBadElementAnywhere) {
  const at::Tensor values = at::ones({40'000});
  for (const int64_t place : {0, 15, 16, 16'383, 16'384, 39'999}) {
    for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()}) {
      values[place] = bad;
      EXPECT_FALSE(gradient_statistics(std::vector<at::Tensor>{at::ones({3}), values}).is_finite) << place << bad;
    }
    values[place] = std::numeric_limits<float>::max();  // its square does not fit float32
    EXPECT_TRUE(gradient_statistics(std::vector<at::Tensor>{values}).is_finite);
    values[place] = 1;
  }
}

TEST(GradientStatistics, NeverDependOnTheNumberOfThreads) {
  const std::vector<at::Tensor> values = {at::randn({100'003}), at::randn({5}), at::randn({70'000})};
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const double one = gradient_statistics(values).norm;
  at::set_num_threads(3);
  EXPECT_EQ(gradient_statistics(values).norm, one);
  at::set_num_threads(threads);
}

/// What an embedding with sparse=True gives: row 1 twice.
at::Tensor sparse_rows() {
  return at::sparse_coo_tensor(at::tensor({1, 3, 1}, at::kLong).unsqueeze(0), at::ones({3, 4}), {5, 4});
}

TEST(GradientStatistics, TakeSparseOnesAsIfTheyWereDense) {
  const at::Tensor sparse = sparse_rows(), dense = at::randn({7});
  const double norm = gradient_statistics(std::vector<at::Tensor>{sparse, dense}).norm;
  EXPECT_EQ(norm, gradient_statistics(std::vector<at::Tensor>{sparse.to_dense(), dense}).norm);
  sparse._values()[0][0] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(gradient_statistics(std::vector<at::Tensor>{sparse}).is_finite);
  EXPECT_THROW(gradient_statistics(std::vector<at::Tensor>{at::ones({3, 3}).to_sparse_csr()}), Unsupported);
}

TEST(ScaleGradients, ScalesSparseOnes) {
  const at::Tensor sparse = sparse_rows();
  const at::Tensor expected = sparse.to_dense() * 0.5;
  scale_gradients(std::vector<at::Tensor>{sparse}, 0.5);
  EXPECT_TRUE(at::equal(sparse.to_dense(), expected));
}

TEST(ScaleGradients, MultipliesInPlaceInAnyLayout) {
  const at::Tensor plain = at::randn({50, 7}), gaps = at::randn({9, 9}).slice(1, 0, 9, 2),
                   half = at::ones({5}, at::kHalf);
  const at::Tensor plain_before = plain.clone(), gaps_before = gaps.clone();
  scale_gradients(std::vector<at::Tensor>{plain, at::Tensor(), gaps, half}, 0.5);
  EXPECT_TRUE(at::equal(plain, plain_before * 0.5));
  EXPECT_TRUE(at::equal(gaps, gaps_before * 0.5));
  EXPECT_TRUE(at::equal(half, at::full({5}, 0.5, at::kHalf)));
}

TEST(ClipGradNorm, ScalesToTheJointNormAndReturnsTheOneBefore) {
  const at::Tensor a = leaf({0, 0}), b = leaf({0}), without = leaf({7});
  a.mutable_grad() = at::tensor({3.0F, 0.0F});
  b.mutable_grad() = at::tensor({4.0F});
  EXPECT_DOUBLE_EQ(clip_grad_norm({{"a", a}, {"b", b}, {"c", without}}, 1), 5);
  EXPECT_NEAR(a.grad()[0].item<double>(), 0.6, 1e-6);
  EXPECT_NEAR(b.grad()[0].item<double>(), 0.8, 1e-6);
}

TEST(GradNorm, IsTheJointOneAndNotFiniteWhereAnyGradientIsNot) {
  const at::Tensor a = leaf({0, 0}), b = leaf({0});
  EXPECT_EQ(grad_norm({{"a", a}, {"b", b}}), 0);
  a.mutable_grad() = at::tensor({3.0F, 0.0F});
  b.mutable_grad() = at::tensor({4.0F});
  EXPECT_DOUBLE_EQ(grad_norm({{"a", a}, {"b", b}}), 5);
  EXPECT_EQ(a.grad()[0].item<float>(), 3);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    b.mutable_grad() = at::tensor({bad});
    EXPECT_FALSE(std::isfinite(grad_norm({{"a", a}, {"b", b}})));
  }
}

TEST(ClipGradNorm, LeavesSmallGradientsAlone) {
  const at::Tensor a = leaf({0});
  a.mutable_grad() = at::tensor({0.5F});
  EXPECT_DOUBLE_EQ(clip_grad_norm({{"a", a}}, 1), 0.5);
  EXPECT_EQ(a.grad().item<float>(), 0.5F);
}

}  // namespace
}  // namespace limbeck::train
