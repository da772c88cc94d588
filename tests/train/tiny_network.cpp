#include "tests/train/tiny_network.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "limbeck/data/open_dataset.h"
#include "limbeck/graph/builder.h"
#include "limbeck/measure/evaluate.h"

namespace limbeck::train::testing {

using graph::ArgumentList;
using graph::IntExpr;
using graph::ValueId;

Model network(uint64_t seed) {
  graph::Graph graph;
  graph::Builder builder(graph);
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto weight = [&](std::vector<int64_t> sizes) { return at::empty(sizes).normal_(0, 0.2, generator); };
  const ValueId x = builder.input("x", {IntExpr::symbol("B"), 1, 8, 8});
  ValueId h = builder.call("aten::conv2d", {x, builder.parameter("conv.weight", weight({6, 1, 3, 3})), nullptr,
                                            ArgumentList{2, 2}, ArgumentList{1, 1}});
  h = builder.call("aten::batch_norm",
                   {h, builder.parameter("bn.weight", at::ones({6})), builder.parameter("bn.bias", at::zeros({6})),
                    builder.buffer("bn.running_mean", at::zeros({6})), builder.buffer("bn.running_var", at::ones({6})),
                    false, 0.1, 1e-5, false});
  h = builder.call("aten::relu", {h});
  h = builder.call("aten::conv2d", {h, builder.parameter("conv2.weight", weight({6, 6, 3, 3})), nullptr,
                                    ArgumentList{1, 1}, ArgumentList{1, 1}});
  h = builder.call("aten::flatten.using_ints", {h, 1});
  const ValueId index = builder.buffer("gather", at::arange(120, at::kLong).remainder(96));
  h = builder.call("aten::index.Tensor", {h, ArgumentList{nullptr, index}});
  h = builder.call("aten::dropout", {h, 0.2, false});
  h = builder.call("aten::linear",
                   {h, builder.parameter("fc.weight", weight({4, 120})), builder.parameter("fc.bias", at::zeros({4}))});
  builder.outputs({{"logits", h}});
  return Model(std::move(graph));
}

Model plain_network(uint64_t seed) {
  graph::Graph graph;
  graph::Builder builder(graph);
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto weight = [&](std::vector<int64_t> sizes) { return at::empty(sizes).normal_(0, 0.2, generator); };
  const ValueId x = builder.input("x", {IntExpr::symbol("B"), 1, 8, 8});
  ValueId h = builder.call("aten::flatten.using_ints", {x, 1});
  h = builder.call("aten::linear", {h, builder.parameter("fc1.weight", weight({12, 64})),
                                    builder.parameter("fc1.bias", at::zeros({12}))});
  h = builder.call("aten::relu", {h});
  h = builder.call("aten::linear", {h, builder.parameter("fc2.weight", weight({4, 12})),
                                    builder.parameter("fc2.bias", at::zeros({4}))});
  builder.outputs({{"logits", h}});
  return Model(std::move(graph));
}

data::Loader loader(int64_t samples) {
  return {data::open_dataset("synthetic:4x1x8x8?n=" + std::to_string(samples)),
          {.batch_size = 16,
           .shuffle = true,
           .drop_last = true,
           .seed = 5,
           .transforms = {data::RandomCrop{.padding = 1}, data::HorizontalFlip{}}}};
}

ValidationResult validate(const Model& model) {
  data::Loader held_out(data::open_dataset("synthetic:4x1x8x8?n=48&seed=9"), {.batch_size = 16});
  const measure::AccuracyResult result = *measure::evaluate(model, held_out);
  return {.accuracy = result.top1, .loss = result.nll};
}

TrainOptions options(OptimizerKind kind, Precision precision) {
  return {.epochs = 3,
          .optimizer = {.kind = kind, .lr = kind == OptimizerKind::sgd ? 0.05 : 0.003, .weight_decay = 1e-3},
          .schedule = {.kind = ScheduleKind::one_cycle},
          .clip_norm = 1,
          .precision = precision,
          .seed = 11};
}

TrainSummary run(const Model& model, const TrainOptions& options, const RunControl& control) {
  data::Loader batches = loader();
  return train(model, {}, classification_objective(model, options.label_smoothing), batches, options, control);
}

bool same_tensors(const Model& a, const Model& b) {
  for (const graph::Parameter& parameter : a.graph().parameters()) {
    if (!at::equal(parameter.tensor, b.graph().parameter(parameter.name).tensor)) return false;
  }
  return true;
}

}  // namespace limbeck::train::testing
