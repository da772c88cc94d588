#include "limbeck/distill/tap_pairs.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/optimizer.h"
#include "limbeck/train/optimize.h"
#include "limbeck/zoo/zoo.h"

namespace limbeck::distill {
namespace {

Model resnet(std::vector<int64_t> widths, uint64_t seed = 1) {
  return Model(zoo::make(
      "resnet_basic",
      {.classes = 4, .in_channels = 1, .image_size = 8, .blocks = {1, 1}, .widths = std::move(widths), .seed = seed}));
}

std::vector<NamedTensor> named(const std::vector<at::Tensor>& tensors) {
  std::vector<NamedTensor> result;
  for (const at::Tensor& tensor : tensors) result.push_back({"p" + std::to_string(result.size()), tensor});
  return result;
}

TEST(TapPairs, MseIsThatOfAdaptedFeatures) {
  const Model student = resnet({4, 8}), teacher = resnet({8, 16});
  const TapPairs taps = pair(student, teacher, {{"layer2", "layer2"}});
  const at::Tensor feature = at::arange(2 * 8 * 4 * 4, at::kFloat).sin().reshape({2, 8, 4, 4});
  const at::Tensor target = at::ones({2, 16, 4, 4});
  Outputs s, t;
  s.taps = {{"layer2", feature}};
  t.taps = {{"layer2", target}};
  Model adapter = taps.adapters().at(0).second.clone();
  adapter.train();
  EXPECT_TRUE(at::allclose(taps.mse(s, t), feature_mse(adapter.forward(feature).tensors[0].tensor, target)));
  EXPECT_TRUE(at::equal(taps.adapters()[0].second.graph().parameter("norm.running_mean").tensor,
                        adapter.graph().parameter("norm.running_mean").tensor));
}

TEST(TapPairs, TrainInASetBesideTheStudent) {
  const Model student = resnet({4, 8}), teacher = resnet({8, 16});
  const TapPairs taps = pair(student, teacher, {{"layer2", "layer2"}, {"layer1", "layer1"}});
  ASSERT_EQ(taps.parameters().size(), 6U);  // a convolution and a batch norm each
  train::Optimizer optimizer(named(concat(student.parameters(), taps.parameters())), {.lr = 0.05});
  train::ModelSet set = train::optimize({{"teacher", teacher, train::Role::eval},
                                         {"student", student, train::Role::train},
                                         {"taps", taps, train::Role::train}},
                                        {&optimizer}, train::Precision::bf16);
  std::vector<at::Tensor> before;
  for (const at::Tensor& parameter : taps.parameters()) before.push_back(parameter.detach().clone());
  const at::Tensor x = at::arange(2 * 8 * 8, at::kFloat).cos().reshape({2, 1, 8, 8});
  double first = 0, last = 0;
  for (int step = 0; step < 10; ++step) {
    const Outputs t = set.forward("teacher", x, {.taps = taps.of_teacher()});
    const Outputs s = set.forward("student", x, {.taps = taps.of_student()});
    const at::Tensor loss = taps.mse(s, t);
    last = loss.item<double>();
    if (step == 0) first = last;
    set.backward(loss);
    set.step();
  }
  EXPECT_LT(last, first);
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_FALSE(at::equal(before[i], taps.parameters()[i])) << i;
  EXPECT_EQ(set.report().models[2].trained, 6);
  const Outputs s = set.forward("student", x, {.taps = taps.of_student()});
  const Outputs adapted = set.forward("taps", Inputs(s.taps));
  EXPECT_EQ(adapted["layer2"].size(1), 16);
}

TEST(TapPairs, EqualShapesNeedNoAdapter) {
  const Model student = resnet({4, 8}), teacher = resnet({4, 8}, 2);
  const TapPairs taps = pair(student, teacher, {{"layer2", "layer2"}});
  EXPECT_TRUE(taps.parameters().empty());
}

TEST(TapPairs, TapsThatWereNotAskedForAreNamed) {
  const Model student = resnet({4, 8}), teacher = resnet({8, 16});
  const TapPairs taps = pair(student, teacher, {{"layer2", "layer2"}});
  try {
    taps.mse({}, {});
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("layer2"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace limbeck::distill
