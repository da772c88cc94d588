#include "limbeck/measure/evaluate.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/data/memory_dataset.h"
#include "limbeck/graph/builder.h"

namespace limbeck::measure {
namespace {

using graph::IntExpr;
using graph::ValueId;

/// Ten 1x1x3 images; pixel `label` is bright, but in images 3 and 7, where it is another.
std::shared_ptr<const data::Dataset> dataset() {
  const at::Tensor labels = at::arange(10, at::kLong).remainder(3);
  at::Tensor bright = labels.clone();
  for (const int64_t wrong : {3, 7}) bright[wrong] = (bright[wrong].item<int64_t>() + 1) % 3;
  const at::Tensor images = at::one_hot(bright, 3).mul(255).to(at::kByte).view({10, 1, 1, 3});
  return data::memory_dataset("bright", images, labels, data::numbered_class_names(3));
}

/// The pixels as logits, through dropout and a counter of batches that only training may change.
Model network(int64_t classes = 3) {
  graph::Graph graph;
  graph::Builder builder(graph);
  const ValueId x = builder.input("x", {IntExpr::symbol("B"), 1, 1, 3});
  ValueId h = builder.call("aten::dropout", {builder.call("aten::flatten.using_ints", {x, 1}), 0.9, false});
  h = builder.call("aten::linear", {h, builder.parameter("weight", at::eye(classes, 3)), nullptr});
  builder.outputs({{"logits", h}});
  return Model(std::move(graph));
}

data::LoaderOptions options(int64_t batch_size) {
  return {.batch_size = batch_size, .shuffle = false, .drop_last = false};
}

TEST(Evaluate, CountsEverySampleOnceWithDropoutOff) {
  for (const int64_t batch_size : {1, 4, 10}) {
    data::Loader loader(dataset(), options(batch_size));
    const auto result = evaluate(network(), loader);
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(result->num_samples, 10);
    EXPECT_EQ(result->num_top1, 8);
    EXPECT_DOUBLE_EQ(result->top1, 0.8);
  }
}

TEST(Evaluate, BeginsAtTheFirstSampleAgain) {
  data::Loader loader(dataset(), options(4));
  loader.next();
  EXPECT_EQ(evaluate(network(), loader)->num_samples, 10);
  EXPECT_EQ(evaluate(network(), loader)->num_samples, 10);
}

TEST(Evaluate, LeavesModeAndGradients) {
  Model model = network();
  model.train();
  data::Loader loader(dataset(), options(4));
  evaluate(model, loader);
  EXPECT_TRUE(model.is_training());
  EXPECT_FALSE(model.graph().parameter("weight").tensor.grad().defined());
}

TEST(Evaluate, KeepsWhatWasAccepted) {
  graph::Graph graph = network().graph();
  graph.assumptions.push_back({graph::Mode::eval, 0, "eval was not seen"});
  Model model(std::move(graph));
  data::Loader loader(dataset(), options(4));
  EXPECT_THROW(evaluate(model, loader), Unsupported);
  model.accept_assumptions(graph::Mode::eval);
  EXPECT_EQ(evaluate(model, loader)->num_top1, 8);
}

TEST(Evaluate, TellsItsProgressAndStopsOnRequest) {
  data::Loader loader(dataset(), options(4));
  core::StopFlag stop;
  std::vector<int64_t> seen;
  const auto on_progress = [&](int64_t done, int64_t all) {
    EXPECT_EQ(all, 10);
    seen.push_back(done);
    if (done == 8) stop.request();
  };
  EXPECT_FALSE(evaluate(network(), loader, {.stop = &stop, .on_progress = on_progress}).has_value());
  EXPECT_EQ(seen, (std::vector<int64_t>{4, 8}));
}

TEST(Evaluate, CountsInTheModelsClassesWhereTheDatasetHasFewer) {
  data::Loader loader(dataset(), options(4));
  const AccuracyResult same = *evaluate(network(5), loader);
  EXPECT_EQ(same.num_top1, 8);
  EXPECT_EQ(same.confusion.num_classes, 5);
  EXPECT_TRUE(std::isnan(same.per_class[4]));
  // Pixels 0, 1, 2 are the logits of classes 4, 3, 1.
  graph::Graph graph = network(5).graph();
  const at::Tensor weight = at::zeros({5, 3});
  for (const auto& [row, pixel] : {std::pair{4, 0}, {3, 1}, {1, 2}}) weight[row][pixel] = 1;
  graph.parameter("weight").tensor.detach().copy_(weight);
  const AccuracyResult placed = *evaluate(Model(std::move(graph)), loader, {.classes = {4, 3, 1}});
  EXPECT_EQ(placed.num_top1, 8);
  EXPECT_DOUBLE_EQ(placed.per_class[4], 0.75);
  EXPECT_TRUE(std::isnan(placed.per_class[0]));
}

std::string refusal(const Model& model, const EvaluateOptions& how = {}) {
  data::Loader loader(dataset(), options(4));
  try {
    evaluate(model, loader, how);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "nothing";
}

TEST(Evaluate, NamesTheSampleWhoseLabelIsNoClassOfTheModel) {
  EXPECT_EQ(
      refusal(network(2)),
      "[evaluate] the model gives logits of 2 classes, and in bright sample 2 has the label 2. Correct the label, "
      "use replace_head or another dataset.");
  EXPECT_EQ(refusal(network(5), {.classes = {0, 1, 5}}),
            "[evaluate] 'classes' must have one of the model's 5 for each of the dataset's 3, got [0, 1, 5].");
  EXPECT_NE(refusal(network(5), {.classes = {0, 1}}), "nothing");
}

TEST(Evaluate, RefusesOtherClassesAndLoadersThatDoNotShowAll) {
  data::Loader loader(dataset(), options(4));
  EXPECT_THROW(evaluate(network(2), loader), InvalidArgument);
  data::Loader shuffled(dataset(), {.batch_size = 4, .shuffle = true, .drop_last = false});
  EXPECT_THROW(evaluate(network(), shuffled), InvalidArgument);
  data::Loader dropping(dataset(), {.batch_size = 4, .shuffle = false, .drop_last = true});
  EXPECT_THROW(evaluate(network(), dropping), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::measure
