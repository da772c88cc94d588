#include "limbeck/distill/losses.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/json/json.h"
#include "limbeck/train/losses.h"

namespace limbeck::distill {
namespace {

/// Values and gradients computed in float64 by hand-written formulas outside this project.
class Golden : public testing::Test {
 protected:
  Golden()
      : json_(core::parse_json(core::read_file(LIMBECK_SOURCE_DIR "/tests/distill/data/distillation_losses.json"))) {}

  at::Tensor matrix(const char* key) const {
    std::vector<double> values;
    const core::JsonView rows = core::JsonView(json_, "golden")[key];
    for (const core::JsonView& row : rows.elements()) {
      for (const core::JsonView& value : row.elements()) values.push_back(value.as_double());
    }
    return at::tensor(values, at::kDouble).view({static_cast<int64_t>(rows.size()), -1});
  }
  double value(const char* key) const { return core::JsonView(json_, "golden")["values"][key].as_double(); }
  at::Tensor labels() const { return at::tensor(core::JsonView(json_, "golden")["y"].as_ints(), at::kLong); }
  std::vector<double> gradient(const char* row) const {
    std::vector<double> values;
    for (const core::JsonView& v : core::JsonView(json_, "golden")["kd_T4_gradient_wrt_s"][row].elements())
      values.push_back(v.as_double());
    return values;
  }

  core::Json json_;
};

at::Tensor rows(const std::vector<double>& values, int64_t num_rows) {
  return at::tensor(values, at::kDouble).view({num_rows, -1});
}

constexpr double kGoldenDigits = 1e-9;  // the file gives ten digits after the point

TEST_F(Golden, CrossEntropy) {
  EXPECT_NEAR(train::cross_entropy(matrix("s"), labels()).item<double>(), value("cross_entropy"), kGoldenDigits);
  EXPECT_NEAR(train::cross_entropy(matrix("s"), labels(), 0.1).item<double>(),
              value("label_smoothing_cross_entropy_eps0.1"), kGoldenDigits);
}

TEST_F(Golden, DivergenceAtTemperatures) {
  EXPECT_NEAR(kd_divergence(matrix("s"), matrix("t"), 1).item<double>(), value("kl_T1_batchmean"), kGoldenDigits);
  EXPECT_NEAR(kd_divergence(matrix("s"), matrix("t"), 2).item<double>(), value("kd_T2_times_T2"), kGoldenDigits);
  EXPECT_NEAR(kd_divergence(matrix("s"), matrix("t"), 4).item<double>(), value("kd_T4_times_T2"), kGoldenDigits);
}

TEST_F(Golden, CombinationWithLabels) {
  const KdOptions options{.temperature = 4, .alpha = 0.7};
  EXPECT_NEAR(kd(matrix("s"), matrix("t"), labels(), options).item<double>(),
              value("alpha0.7_times_kd_T4_plus_0.3_times_ce"), kGoldenDigits);
}

TEST_F(Golden, WithoutLabelsTheTeacherCountsAlone) {
  const KdOptions options{.temperature = 4, .alpha = 1};
  EXPECT_NEAR(kd(matrix("s"), matrix("t"), at::Tensor(), options).item<double>(), value("kd_T4_times_T2"),
              kGoldenDigits);
  EXPECT_THROW(kd(matrix("s"), matrix("t"), at::Tensor(), {.alpha = 0.7}), InvalidArgument);
}

TEST_F(Golden, GradientReachesTheStudentAlone) {
  const at::Tensor student = matrix("s").set_requires_grad(true), teacher = matrix("t").set_requires_grad(true);
  kd_divergence(student, teacher, 4).backward();
  EXPECT_FALSE(teacher.grad().defined());
  for (const auto& [row, name] : {std::pair{0, "row0"}, std::pair{2, "row2"}}) {
    const std::vector<double> expected = gradient(name);
    for (int64_t column = 0; column < 4; ++column) {
      EXPECT_NEAR(student.grad()[row][column].item<double>(), expected[static_cast<std::size_t>(column)],
                  kGoldenDigits);
    }
  }
}

TEST_F(Golden, LowPrecisionInputIsComputedInFloat32) {
  const at::Tensor loss = kd_divergence(matrix("s").to(at::kBFloat16), matrix("t").to(at::kBFloat16), 4);
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_NEAR(loss.item<double>(), value("kd_T4_times_T2"), 1e-5);  // the golden inputs are exact in bfloat16
}

TEST(KdDivergence, PerSampleValuesHaveTheBatchMean) {
  const at::Tensor s = rows({1, 2, 0, 3}, 2), t = rows({2, 1, 0, 3}, 2);
  const at::Tensor each = kd_divergence_per_sample(s, t, 2);
  ASSERT_EQ(each.sizes(), at::IntArrayRef({2}));
  EXPECT_GT(each[0].item<double>(), 0);
  EXPECT_NEAR(each[1].item<double>(), 0, 1e-12);
  EXPECT_NEAR(each.mean().item<double>(), kd_divergence(s, t, 2).item<double>(), 1e-12);
}

TEST(KdDivergence, StaysFiniteForExtremeLogits) {
  const at::Tensor s = rows({1e4, -1e4}, 1), t = rows({-1e4, 1e4}, 1);
  EXPECT_TRUE(kd_divergence(s, t, 1).isfinite().item<bool>());
}

TEST(KdDivergence, RefusesShapesAndTemperatures) {
  EXPECT_THROW(kd_divergence(at::zeros({2, 3}), at::zeros({2, 4}), 1), InvalidArgument);
  EXPECT_THROW(kd_divergence(at::zeros({2, 3}), at::zeros({2, 3}), 0), InvalidArgument);
  EXPECT_THROW(kd(at::zeros({2, 3}), at::zeros({2, 3}), at::zeros({2}, at::kLong), {.alpha = 1.5}), InvalidArgument);
}

TEST(FeatureMse, IsTheMeanOverAllElementsWithoutTeachersGradient) {
  const at::Tensor s = rows({1, 3}, 1).set_requires_grad(true), t = rows({0, 1}, 1).set_requires_grad(true);
  const at::Tensor loss = feature_mse(s, t);
  EXPECT_DOUBLE_EQ(loss.item<double>(), 2.5);
  loss.backward();
  EXPECT_FALSE(t.grad().defined());
  EXPECT_THROW(feature_mse(s, at::zeros({1, 3})), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::distill
