#include "limbeck/distill/adapter.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"

namespace limbeck::distill {
namespace {

TEST(PlanAdapter, EqualShapesNeedNothing) {
  const AdapterPlan plan = plan_adapter({8, 4, 4}, {8, 4, 4});
  EXPECT_EQ(plan.to_string(), "none");
  EXPECT_FALSE(make_adapter(plan, 0).has_value());
}

TEST(PlanAdapter, MapsOfOtherChannelsAreProjected) {
  EXPECT_EQ(plan_adapter({8, 4, 4}, {16, 4, 4}).to_string(), "1x1 conv 8 -> 16 + BatchNorm");
}

TEST(PlanAdapter, TheLargerMapIsPooled) {
  EXPECT_EQ(plan_adapter({8, 8, 8}, {8, 4, 4}).to_string(), "none, student pooled to 4x4");
  EXPECT_EQ(plan_adapter({8, 4, 4}, {8, 8, 8}).to_string(), "none, teacher pooled to 4x4");
  const AdapterPlan mixed = plan_adapter({8, 8, 2}, {8, 4, 4});
  EXPECT_EQ(*mixed.pool_student, (FeatureShape{4, 2}));
  EXPECT_EQ(*mixed.pool_teacher, (FeatureShape{4, 2}));
}

TEST(PlanAdapter, VectorsAndTokensAreProjectedByALinearLayer) {
  EXPECT_EQ(plan_adapter({8}, {16}).to_string(), "linear 8 -> 16");
  EXPECT_EQ(plan_adapter({5, 8}, {5, 16}).to_string(), "linear 8 -> 16");
}

TEST(PlanAdapter, RefusesPairsThatNothingMakesEqual) {
  EXPECT_THROW(plan_adapter({8, 4, 4}, {8}), Unsupported);
  EXPECT_THROW(plan_adapter({5, 8}, {6, 8}), Unsupported);
  EXPECT_THROW(plan_adapter({2, 2, 2, 2}, {2, 2, 2, 2}), Unsupported);
}

class MadeAdapter : public testing::TestWithParam<std::pair<FeatureShape, FeatureShape>> {};
INSTANTIATE_TEST_SUITE_P(Shapes, MadeAdapter,
                         testing::Values(std::pair<FeatureShape, FeatureShape>{{3, 5, 7}, {6, 5, 7}},
                                         std::pair<FeatureShape, FeatureShape>{{3, 8, 8}, {6, 4, 4}},
                                         std::pair<FeatureShape, FeatureShape>{{3, 4, 4}, {6, 9, 9}},
                                         std::pair<FeatureShape, FeatureShape>{{1}, {6}},
                                         std::pair<FeatureShape, FeatureShape>{{4, 3}, {4, 6}}));

TEST_P(MadeAdapter, BringsAnyBatchToTheTeachersShapeAndTrains) {
  const auto& [student, teacher] = GetParam();
  const AdapterPlan plan = plan_adapter(student, teacher);
  std::optional<Model> adapter = make_adapter(plan, 1);
  ASSERT_TRUE(adapter.has_value());
  adapter->train();
  for (const int64_t batch : {2, 5}) {
    std::vector<int64_t> s{batch}, t{batch};
    s.insert(s.end(), student.begin(), student.end());
    t.insert(t.end(), teacher.begin(), teacher.end());
    const at::Tensor out = adapter->forward(pool_to(at::randn(s), plan.pool_student)).tensors.front().tensor;
    ASSERT_EQ(out.sizes(), pool_to(at::randn(t), plan.pool_teacher).sizes());
    out.square().mean().backward();
  }
  for (const NamedTensor& parameter : adapter->named_parameters())
    EXPECT_TRUE(parameter.tensor.grad().defined()) << parameter.name;
}

TEST(MakeAdapter, LinearStartsAsPyTorchs) {
  const Model adapter = *make_adapter(plan_adapter({16}, {6}), 3);
  at::Generator generator = at::detail::createCPUGenerator(3);
  const at::Tensor weight = at::empty({6, 16}).uniform_(-0.25, 0.25, generator);  // 1/sqrt(16)
  const at::Tensor bias = at::empty({6}).uniform_(-0.25, 0.25, generator);
  EXPECT_TRUE(at::equal(adapter.graph().parameter("linear.weight").tensor, weight));
  EXPECT_TRUE(at::equal(adapter.graph().parameter("linear.bias").tensor, bias));
}

TEST(MakeAdapter, TheSameSeedGivesTheSameWeights) {
  const AdapterPlan plan = plan_adapter({3, 4, 4}, {6, 4, 4});
  const Model a = *make_adapter(plan, 7), b = *make_adapter(plan, 7), c = *make_adapter(plan, 8);
  EXPECT_TRUE(at::equal(a.named_parameters()[0].tensor, b.named_parameters()[0].tensor));
  EXPECT_FALSE(at::equal(a.named_parameters()[0].tensor, c.named_parameters()[0].tensor));
}

}  // namespace
}  // namespace limbeck::distill
