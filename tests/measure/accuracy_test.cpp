#include "limbeck/measure/accuracy.h"

#include "limbeck/core/error.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace limbeck::measure {
namespace {

at::Tensor labels(std::vector<std::int64_t> values) { return at::tensor(values, at::kLong); }

// Logits whose softmax is `probabilities`.
at::Tensor from_probabilities(std::vector<double> probabilities, std::int64_t num_classes) {
  return at::tensor(probabilities, at::kDouble).log().view({-1, num_classes});
}

AccuracyResult measure(const at::Tensor& logits, const at::Tensor& truth) {
  Accuracy accuracy(logits.size(1));
  accuracy.add(logits, truth);
  return accuracy.result();
}

TEST(WilsonInterval, EqualsPublishedValues) {
  // 81 of 263: Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
  const Interval common = wilson_interval(81, 263);
  EXPECT_NEAR(common.low, 0.2553, 5e-5);
  EXPECT_NEAR(common.high, 0.3662, 5e-5);
  const Interval rare = wilson_interval(1, 29);
  EXPECT_NEAR(rare.low, 0.0061, 5e-5);
  EXPECT_NEAR(rare.high, 0.1718, 5e-5);
  const Interval never = wilson_interval(0, 20);
  EXPECT_EQ(never.low, 0);
  EXPECT_NEAR(never.high, 0.1611, 5e-5);
}

TEST(WilsonInterval, StaysWithinZeroAndOneAndIsSymmetric) {
  const Interval all = wilson_interval(20, 20), none = wilson_interval(0, 20);
  EXPECT_EQ(all.high, 1);
  EXPECT_NEAR(all.low, 1 - none.high, 1e-15);
  const Interval nothing = wilson_interval(0, 0);
  EXPECT_EQ(nothing.low, 0);
  EXPECT_EQ(nothing.high, 1);
  EXPECT_THROW(wilson_interval(3, 2), InvalidArgument);
  EXPECT_THROW(wilson_interval(-1, 2), InvalidArgument);
}

TEST(Accuracy, CountsTopOneTopFiveConfusionAndClasses) {
  at::Tensor logits = at::zeros({4, 7});
  for (const std::int64_t row : {0, 1, 2, 3}) logits[row] = at::arange(7, at::kFloat);  // falling order: 6 5 4 3 2 1 0
  const AccuracyResult result = measure(logits, labels({6, 2, 1, 6}));
  EXPECT_EQ(result.num_samples, 4);
  EXPECT_EQ(result.num_top1, 2);
  EXPECT_EQ(result.num_top5, 3);
  EXPECT_DOUBLE_EQ(result.top1, 0.5);
  EXPECT_DOUBLE_EQ(result.top5, 0.75);
  EXPECT_DOUBLE_EQ(result.top1_interval.low, wilson_interval(2, 4).low);
  EXPECT_DOUBLE_EQ(result.top5_interval.high, wilson_interval(3, 4).high);
  EXPECT_EQ(result.confusion.at(6, 6), 2);
  EXPECT_EQ(result.confusion.at(2, 6), 1);
  EXPECT_EQ(result.confusion.at(1, 6), 1);
  EXPECT_EQ(result.confusion.at(6, 2), 0);
  EXPECT_DOUBLE_EQ(result.per_class[6], 1);
  EXPECT_DOUBLE_EQ(result.per_class[2], 0);
  EXPECT_TRUE(std::isnan(result.per_class[0]));
}

TEST(Accuracy, GivesNoCreditForEqualLogits) {
  const AccuracyResult result = measure(at::zeros({10, 10}), at::arange(10));
  EXPECT_EQ(result.num_top1, 1) << "chance";
  EXPECT_EQ(result.num_top5, 5);
}

TEST(Accuracy, HasEverythingInTopFiveOfFiveClasses) {
  EXPECT_EQ(measure(at::zeros({5, 5}), at::arange(5)).num_top5, 5);
  EXPECT_EQ(measure(at::zeros({3, 1}), labels({0, 0, 0})).num_top1, 3) << "one class";
}

TEST(Accuracy, ComputesNllAndCalibrationErrorByHand) {
  // Confidences 0.9 (right), 0.8 (wrong), 0.8 (right), 0.6 (right); bins of width 1/15 hold {0.6}, {0.8, 0.8}, {0.9}:
  // 0.8 lies on the edge of (11/15, 12/15], which it belongs to. ECE = (0.4 + |1 - 1.6| + 0.1) / 4.
  const at::Tensor logits = from_probabilities({0.9, 0.1, 0.8, 0.2, 0.2, 0.8, 0.6, 0.4}, 2);
  const AccuracyResult result = measure(logits, labels({0, 1, 1, 0}));
  EXPECT_NEAR(result.nll, -(std::log(0.9) + std::log(0.2) + std::log(0.8) + std::log(0.6)) / 4, 1e-12);
  EXPECT_NEAR(result.ece, (0.4 + 0.6 + 0.1) / 4, 1e-12);
}

TEST(Accuracy, SeparatesBinsBeforeAveraging) {
  // Over- and underconfidence cancel within a bin and add up across bins.
  const AccuracyResult apart = measure(from_probabilities({0.99, 0.01, 0.55, 0.45}, 2), labels({1, 0}));
  EXPECT_NEAR(apart.ece, (0.99 + 0.45) / 2, 1e-12);
  const AccuracyResult together = measure(from_probabilities({0.56, 0.44, 0.56, 0.44}, 2), labels({1, 0}));
  EXPECT_NEAR(together.ece, std::abs(1 - 1.12) / 2, 1e-12);
}

TEST(Accuracy, IsPerfectForCertainAndRightModels) {
  const AccuracyResult result = measure(at::eye(3).mul(1e6), at::arange(3));
  EXPECT_EQ(result.top1, 1);
  EXPECT_EQ(result.nll, 0);
  EXPECT_EQ(result.ece, 0);
}

TEST(Accuracy, DoesNotDependOnBatchesStridesOrDtype) {
  const at::Tensor logits = at::arange(60, at::kFloat).mul(7).remainder(11).view({12, 5});
  const at::Tensor truth = at::arange(12).remainder(5);
  const AccuracyResult whole = measure(logits, truth);
  Accuracy pieces(5);
  pieces.add(logits.slice(0, 0, 5), truth.slice(0, 0, 5));
  pieces.add(logits.slice(0, 5, 5), truth.slice(0, 5, 5));
  pieces.add(logits.slice(0, 5).t().contiguous().t().to(at::kBFloat16), truth.slice(0, 5));
  const AccuracyResult result = pieces.result();
  EXPECT_EQ(result.num_samples, 12);
  EXPECT_EQ(result.num_top1, whole.num_top1);
  EXPECT_EQ(result.confusion.counts, whole.confusion.counts);
  EXPECT_NEAR(result.nll, whole.nll, 1e-12);
  EXPECT_NEAR(result.ece, whole.ece, 1e-12);
}

TEST(Accuracy, CountsNanAsWrongAndSaysSo) {
  at::Tensor logits = at::eye(3);
  logits[1][1] = NAN;
  const AccuracyResult result = measure(logits, at::arange(3));
  EXPECT_EQ(result.num_samples, 3);
  EXPECT_EQ(result.num_top1, 2);
  EXPECT_EQ(result.num_top5, 2);
  EXPECT_EQ(result.num_not_a_number, 1);
  EXPECT_EQ(result.per_class[1], 0);
  EXPECT_TRUE(std::isnan(result.nll));
  EXPECT_TRUE(std::isnan(result.ece));
}

TEST(Accuracy, TakesMaskedClasses) {
  const AccuracyResult result = measure(at::tensor({0.0F, -INFINITY}).view({1, 2}), labels({0}));
  EXPECT_EQ(result.num_top1, 1);
  EXPECT_EQ(result.nll, 0);
}

TEST(Accuracy, IsZeroWithoutSamples) {
  const AccuracyResult result = Accuracy(3).result();
  EXPECT_EQ(result.num_samples, 0);
  EXPECT_EQ(result.top1, 0);
  EXPECT_EQ(result.top1_interval.high, 1);
  EXPECT_EQ(result.ece, 0);
}

TEST(Accuracy, RefusesWrongBatchesAndAddsNothing) {
  Accuracy accuracy(3);
  const at::Tensor logits = at::zeros({2, 3}), truth = labels({0, 1});
  EXPECT_THROW(accuracy.add(at::zeros({2, 4}), truth), InvalidArgument);
  EXPECT_THROW(accuracy.add(at::zeros({2, 3}, at::kLong), truth), InvalidArgument);
  EXPECT_THROW(accuracy.add(at::zeros({3}), truth), InvalidArgument);
  EXPECT_THROW(accuracy.add(logits, labels({0})), InvalidArgument);
  EXPECT_THROW(accuracy.add(logits, truth.to(at::kInt)), InvalidArgument);
  EXPECT_THROW(accuracy.add(logits, labels({0, 3})), InvalidArgument);
  EXPECT_THROW(accuracy.add(logits, labels({0, -1})), InvalidArgument);
  EXPECT_EQ(accuracy.result().num_samples, 0);
  EXPECT_THROW(Accuracy(0), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::measure
