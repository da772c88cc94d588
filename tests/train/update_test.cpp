#include "limbeck/train/update.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace limbeck::train {
namespace {

const std::vector<at::Tensor> kGradients{at::full({1}, 3.0), at::Tensor(), at::full({1}, 4.0)};

TEST(DecideUpdate, TakesScaleAndWeightsOutBeforeTheNorm) {
  const UpdateDecision decision = decide_update(kGradients, {.factor = 0.5});
  EXPECT_TRUE(decision.is_finite);
  EXPECT_DOUBLE_EQ(decision.grad_norm, 2.5);
  EXPECT_DOUBLE_EQ(decision.gradient_scale, 0.5);
  EXPECT_EQ(kGradients[0].item<double>(), 3);  // nothing is written
}

TEST(DecideUpdate, ClipsWhatIsAboveTheNormAlone) {
  EXPECT_NEAR(decide_update(kGradients, {.factor = 0.5, .clip_norm = 0.25}).gradient_scale, 0.05, 1e-7);
  EXPECT_DOUBLE_EQ(decide_update(kGradients, {.factor = 0.5, .clip_norm = 2.6}).gradient_scale, 0.5);
}

TEST(DecideUpdate, RefusesWhatIsNotFinite) {
  for (const double bad : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_FALSE(decide_update(std::vector<at::Tensor>{at::ones({5}), at::full({3}, bad)}, {}).is_finite) << bad;
  }
}

/// Two numbers of one place whose sum is too large, and one that is infinite itself.
TEST(FirstNotFinite, NamesASparseGradientToo) {
  const at::Tensor places = at::zeros({1, 2}, at::kLong);
  for (const float number : {3e38F, std::numeric_limits<float>::infinity()}) {
    at::Tensor fine = at::zeros({3}).requires_grad_(), bad = at::zeros({3}).requires_grad_();
    fine.mutable_grad() = at::sparse_coo_tensor(places, at::ones({2}), {3});
    bad.mutable_grad() = at::sparse_coo_tensor(places, at::full({2}, number), {3});
    const std::vector<NamedTensor> parameters{{"fine", fine}, {"bad", bad}};
    EXPECT_EQ(first_not_finite(parameters), "bad") << number;
  }
}

TEST(DecideUpdate, OfNothingIsNothing) {
  const UpdateDecision decision = decide_update({}, {.clip_norm = 1});
  EXPECT_TRUE(decision.is_finite);
  EXPECT_EQ(decision.grad_norm, 0);
  EXPECT_EQ(decision.gradient_scale, 1);
}

}  // namespace
}  // namespace limbeck::train
