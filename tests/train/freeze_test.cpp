#include "limbeck/train/loop/freeze.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/graph/builder.h"
#include "tests/train/tiny_network.h"

namespace limbeck::train {
namespace {

using Names = std::vector<std::string>;
using graph::ArgumentList;
using graph::ValueId;

std::string named(const graph::Builder& b, const char* name) { return b.scope_path() + "." + name; }

ValueId batch_norm(graph::Builder& b, ValueId x, const std::string& name, bool is_affine) {
  const auto scope = b.enter(name);
  graph::Argument weight, bias;
  if (is_affine) {
    weight = b.parameter(named(b, "weight"), at::ones({4}));
    bias = b.parameter(named(b, "bias"), at::zeros({4}));
  }
  return b.call("aten::batch_norm", {x, weight, bias, b.buffer(named(b, "running_mean"), at::zeros({4})),
                                     b.buffer(named(b, "running_var"), at::ones({4})), false, 0.1, 1e-5, false});
}

/// body.conv - body.norm - body.plain_norm (without parameters) - head.norm - head.fc
Model two_parts() {
  graph::Graph graph;
  graph::Builder b(graph);
  ValueId h = b.input("x", {graph::IntExpr::symbol("B"), 1, 8, 8});
  {
    const auto body = b.enter("body");
    {
      const auto conv = b.enter("conv");
      h = b.call("aten::conv2d", {h, b.parameter(named(b, "weight"), at::full({4, 1, 3, 3}, 0.1)), nullptr});
    }
    h = batch_norm(b, h, "norm", true);
    h = batch_norm(b, h, "plain_norm", false);
  }
  {
    const auto head = b.enter("head");
    h = batch_norm(b, h, "norm", true);
    const auto fc = b.enter("fc");
    h = b.call("aten::flatten.using_ints", {h, 1});
    h = b.call("aten::linear", {h, b.parameter(named(b, "weight"), at::full({4, 144}, 0.01)), nullptr});
  }
  b.outputs({{"logits", h}});
  return Model(std::move(graph));
}

TEST(Freeze, HoldsNormsWhoseParametersAreFrozen) {
  Model model = two_parts();
  EXPECT_EQ(frozen_norms(model), Names{});
  model.freeze("^body\\.norm");
  EXPECT_EQ(frozen_norms(model), Names{"body.norm"});
  model.freeze("^body\\.");
  EXPECT_EQ(frozen_norms(model), (Names{"body.norm", "body.plain_norm"})) << "one without parameters, in a frozen part";
  model.freeze("head.norm.weight");
  EXPECT_EQ(frozen_norms(model), (Names{"body.norm", "body.plain_norm"})) << "its bias is trained";
}

TEST(Freeze, TrainingKeepsTheFrozenPartBitForBit) {
  const Model before = two_parts();
  Model model = two_parts();
  model.freeze("^body\\.");
  const TrainSummary summary = testing::run(model, testing::options());
  ASSERT_TRUE(summary.completed);
  for (const graph::Parameter& parameter : model.graph().parameters()) {
    EXPECT_EQ(at::equal(parameter.tensor, before.graph().parameter(parameter.name).tensor),
              parameter.name.starts_with("body."))
        << parameter.name;
  }
}

}  // namespace
}  // namespace limbeck::train
