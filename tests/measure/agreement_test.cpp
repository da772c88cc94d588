#include "limbeck/measure/agreement.h"

#include "limbeck/core/error.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace limbeck::measure {
namespace {

AgreementResult compare(const at::Tensor& reference, const at::Tensor& model) {
  Agreement agreement;
  agreement.add(reference, model);
  return agreement.result();
}

TEST(Agreement, ComputesSharesAndDivergenceByHand) {
  const at::Tensor reference = at::tensor({0.5, 0.25, 0.25, 0.1, 0.8, 0.1}).log().view({2, 3});
  const at::Tensor model = at::tensor({0.25, 0.5, 0.25, 0.2, 0.6, 0.2}).log().view({2, 3});
  const AgreementResult result = compare(reference, model);
  EXPECT_EQ(result.num_samples, 2);
  EXPECT_EQ(result.num_agree, 1);
  EXPECT_DOUBLE_EQ(result.agreement, 0.5);
  EXPECT_DOUBLE_EQ(result.agreement_interval.low, wilson_interval(1, 2).low);
  const double first = 0.5 * std::log(2.0) + 0.25 * std::log(0.5);
  const double second = 0.2 * std::log(0.5) + 0.8 * std::log(0.8 / 0.6);
  EXPECT_NEAR(result.kl, (first + second) / 2, 1e-7);
  EXPECT_NEAR(result.max_abs_difference, std::log(2.0), 1e-6);
}

TEST(Agreement, IsPerfectForTheSameOutputsUpToAShift) {
  const at::Tensor logits = at::arange(12, at::kDouble).view({3, 4}).cos();
  const AgreementResult same = compare(logits, logits);
  EXPECT_EQ(same.agreement, 1);
  EXPECT_EQ(same.kl, 0);
  EXPECT_EQ(same.max_abs_difference, 0);
  const AgreementResult shifted = compare(logits, logits + 3);
  EXPECT_NEAR(shifted.kl, 0, 1e-14);
  EXPECT_NEAR(shifted.max_abs_difference, 3, 1e-12);
}

TEST(Agreement, IsDirected) {
  const std::vector<double> certain{0, -INFINITY}, open{0, 0};
  EXPECT_NEAR(kl_divergence(certain, open), std::log(2.0), 1e-15);
  EXPECT_EQ(kl_divergence(open, certain), INFINITY);
  EXPECT_EQ(kl_divergence(certain, certain), 0);
}

TEST(Agreement, DoesNotOverflow) {
  EXPECT_NEAR(compare(at::tensor({1e4, 0.0}).view({1, 2}), at::tensor({0.0, 1e4}).view({1, 2})).kl, 1e4, 1e-6);
}

TEST(Agreement, StaysNanOnceItIs) {
  Agreement agreement;
  agreement.add(at::zeros({1, 2}), at::full({1, 2}, NAN));
  agreement.add(at::zeros({1, 2}), at::ones({1, 2}));
  const AgreementResult result = agreement.result();
  EXPECT_EQ(result.num_agree, 1);
  EXPECT_TRUE(std::isnan(result.kl));
  EXPECT_TRUE(std::isnan(result.max_abs_difference));
}

TEST(Agreement, RefusesDifferentShapes) {
  EXPECT_THROW(compare(at::zeros({2, 3}), at::zeros({2, 4})), InvalidArgument);
  EXPECT_THROW(compare(at::zeros({2, 3}), at::zeros({3, 3})), InvalidArgument);
  EXPECT_THROW(compare(at::zeros({2, 0}), at::zeros({2, 0})), InvalidArgument);
  EXPECT_THROW(compare(at::zeros({3}), at::zeros({3})), InvalidArgument);
  EXPECT_EQ(Agreement().result().num_samples, 0);
}

}  // namespace
}  // namespace limbeck::measure
