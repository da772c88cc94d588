#include "limbeck/graph/capture/pair/merge.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/graph/capture/pair/mode.h"
#include "limbeck/graph/capture/pair/slice.h"
#include "limbeck/graph/passes/reference_run.h"
#include "tests/graph/capture/golden.h"
#include "tests/graph/capture/raw_graphs.h"

namespace limbeck::capture {
namespace {

using graph::ArgumentList;
using graph::Builder;
using graph::Mode;
using graph::ValueId;
using testing::count_op;
using Build = std::function<std::vector<ValueId>(Builder&, Mode)>;

Export export_in(const Build& build, Mode mode) {
  Export result = testing::raw_export([&](Builder& b) { return build(b, mode); });
  for (const graph::NodeId id : result.graph.order()) {
    for (graph::Type& type : result.graph.edit(id).types) {
      if (type.tensor() != nullptr && !result.graph.node(id).op->is("limbeck::parameter"))
        type.tensor()->strides.reset();
    }
  }
  return result;
}

/// The merged graph runs in each mode as that mode's export.
graph::Graph merged(const Build& build) {
  const Export eval = export_in(build, Mode::eval), train = export_in(build, Mode::train);
  const Export result = merge(eval, train);
  const auto inputs = passes::random_inputs(eval.graph, {}, 1);
  for (const auto& [mode, source] : {std::pair{Mode::eval, &eval}, std::pair{Mode::train, &train}}) {
    at::manual_seed(4);
    const auto got = passes::reference_run(result.graph, mode, inputs, {});
    graph::Graph single = source->graph;
    single.train_outputs = single.eval_outputs;
    for (const graph::NodeId id : single.order()) single.edit(id).pinned_flags = ~uint64_t{0};
    at::manual_seed(4);
    const auto want = passes::reference_run(single, mode, inputs, {});
    EXPECT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < std::min(got.size(), want.size()); ++i)
      EXPECT_TRUE(at::equal(got[i], want[i])) << mode_name(mode);
  }
  return result.graph;
}

ValueId in_scope(Builder& b, const char* scope, const char* op, std::vector<graph::Argument> arguments) {
  const auto guard = b.enter(scope);
  return b.call(op, std::move(arguments));
}

TEST(Merge, SharesWhatIsEqual) {
  const graph::Graph graph = merged([](Builder& b, Mode) {
    const ValueId x = b.input("x", {2, 3});
    return std::vector{in_scope(b, "act", "aten::relu", {b.call("aten::neg", {x})})};
  });
  EXPECT_EQ(count_op(graph, "aten::relu"), 1U);
  EXPECT_EQ(count_op(graph, "limbeck::by_mode"), 0U);
}

TEST(Merge, LetsFlagsFollowTheMode) {
  const graph::Graph graph = merged([](Builder& b, Mode mode) {
    return std::vector{b.call("aten::dropout", {b.input("x", {2, 3}), 0.5, mode == Mode::train})};
  });
  ASSERT_EQ(count_op(graph, "aten::dropout"), 1U);
  for (const auto id : graph.order()) EXPECT_EQ(graph.node(id).pinned_flags, 0U);
}

TEST(Merge, PinsFlagsThatDoNot) {
  const graph::Graph graph = merged([](Builder& b, Mode) {
    return std::vector{b.call("aten::dropout", {b.input("x", {2, 3}), 0.5, true})};
  });
  for (const auto id : graph.order()) {
    if (!graph.node(id).op->is("aten::dropout")) continue;
    EXPECT_EQ(graph.node(id).pinned_flags, 1U);
  }
}

TEST(Merge, PassesDropPathOnInEvalMode) {
  const graph::Graph graph = merged([](Builder& b, Mode mode) {
    const ValueId x = b.input("x", {2, 3});
    ValueId y = b.call("aten::neg", {x});
    if (mode == Mode::train) y = in_scope(b, "drop", "limbeck::drop_path", {y, 0.5, "bernoulli", "noise", true, true});
    return std::vector{b.call("aten::add.Tensor", {x, y})};
  });
  EXPECT_EQ(count_op(graph, "limbeck::drop_path"), 1U);
  EXPECT_EQ(count_op(graph, "limbeck::by_mode"), 0U);
}

/// What no flag and no drop path explains: another op in each mode.
ValueId sin_or_cos(Builder& b, Mode mode, ValueId x) {
  return mode == Mode::train ? in_scope(b, "noise", "aten::sin", {x}) : in_scope(b, "clean", "aten::cos", {x});
}

TEST(Merge, ChoosesByModeWhereModesDiffer) {
  const graph::Graph graph = merged([](Builder& b, Mode mode) {
    const ValueId x = b.input("x", {2, 3});
    const ValueId y = sin_or_cos(b, mode, x);
    return std::vector{b.call("aten::add.Tensor", {x, y}), b.call("aten::mul.Tensor", {x, y})};
  });
  EXPECT_EQ(count_op(graph, "limbeck::by_mode"), 1U);
  EXPECT_EQ(count_op(graph, "aten::sin"), 1U);
  EXPECT_EQ(count_op(graph, "aten::cos"), 1U);
}

/// A choice follows the mode of its user's scope, which may be frozen while another's is not.
TEST(Merge, ChoosesOncePerScopeAndCall) {
  const graph::Graph graph = merged([](Builder& b, Mode mode) {
    const ValueId y = sin_or_cos(b, mode, b.input("x", {2, 3}));
    const ValueId first = in_scope(b, "stem", "aten::relu", {y}), twice = in_scope(b, "stem", "aten::exp", {y});
    const ValueId other = in_scope(b, "head", "aten::neg", {y});
    const auto second_call = b.enter("head", {}, 1);
    return std::vector{first, twice, other, b.call("aten::neg", {y})};
  });
  std::vector<std::string> places;
  for (const graph::NodeId id : graph.order()) {
    const graph::Node& node = graph.node(id);
    if (node.op->is("limbeck::by_mode"))
      places.push_back(graph.scope(node.scope).path + "@" + std::to_string(node.call));
  }
  EXPECT_EQ(places, (std::vector<std::string>{"stem@0", "head@0", "head@1"}));
}

TEST(Merge, SplitsOpsWithOtherConstants) {
  const graph::Graph graph = merged([](Builder& b, Mode mode) {
    const ValueId x = b.input("x", {2, 3});
    return std::vector{b.call("aten::relu", {b.call("aten::leaky_relu", {x, mode == Mode::train ? 0.1 : 0.2})})};
  });
  EXPECT_EQ(count_op(graph, "aten::leaky_relu"), 2U);
  EXPECT_EQ(count_op(graph, "aten::relu"), 1U);
}

/// LeViT: the eval export holds what the train export computes from a parameter.
Export with_frozen_bias(Mode mode, const at::Tensor& bias, double shift) {
  const at::Tensor weight = at::arange(6.0).to(at::kFloat);
  Export result = export_in(
      [&](Builder& b, Mode in) {
        const ValueId x = b.input("x", {3});
        const ValueId w = b.parameter("w", weight.clone());
        const ValueId used = in == Mode::train ? in_scope(b, "attn", "aten::slice.Tensor", {w, 0, 0, 3})
                                               : b.buffer("lifted", bias + shift, false);
        return std::vector{in_scope(b, "attn", "aten::add.Tensor", {x, used})};
      },
      mode);
  if (mode == Mode::eval) result.lifted.insert("lifted");
  return result;
}

TEST(Merge, KeepsTheExpressionOfAFrozenConstant) {
  const at::Tensor bias = at::arange(3.0).to(at::kFloat);
  const Export result = merge(with_frozen_bias(Mode::eval, bias, 0), with_frozen_bias(Mode::train, bias, 0));
  EXPECT_EQ(count_op(result.graph, "aten::slice.Tensor"), 1U);
  EXPECT_EQ(count_op(result.graph, "limbeck::by_mode"), 0U);
  EXPECT_EQ(result.graph.find_parameter("lifted"), nullptr);
}

TEST(Merge, RefusesAConstantThatIsStale) {
  const at::Tensor bias = at::arange(3.0).to(at::kFloat);
  try {
    merge(with_frozen_bias(Mode::eval, bias, 1), with_frozen_bias(Mode::train, bias, 0));
    FAIL() << "merged a stale constant";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("'lifted'"), std::string::npos) << error.what();
  }
}

TEST(Merge, RefusesOtherWeightsAndInputs) {
  const auto build = [](float weight, int64_t width) {
    return export_in(
        [=](Builder& b, Mode) {
          return std::vector{
              b.call("aten::mul.Tensor", {b.input("x", {2, width}), b.parameter("w", at::full({width}, weight))})};
        },
        Mode::eval);
  };
  EXPECT_THROW(merge(build(1, 3), build(2, 3)), InvalidArgument);
  EXPECT_THROW(merge(build(1, 3), build(1, 4)), InvalidArgument);
  EXPECT_NO_THROW(merge(build(1, 3), build(1, 3)));
}

TEST(Merge, WritesStateInItsModes) {
  const auto build = [](Mode mode) {
    Export result = export_in(
        [](Builder& b, Mode) {
          const ValueId x = b.input("x", {3});
          return std::vector{b.call("aten::add.Tensor", {x, b.buffer("both", at::zeros({3}))}),
                             b.call("aten::neg", {b.buffer("own", at::zeros({3}))})};
        },
        mode);
    const ValueId sum = *result.graph.eval_outputs[0].value.value(),
                  negative = *result.graph.eval_outputs[1].value.value();
    result.graph.state_writes.push_back({.buffer = "both", .value = sum, .when = Mode::both, .scope = 0});
    if (mode == Mode::train)
      result.graph.state_writes.push_back({.buffer = "own", .value = negative, .when = Mode::both, .scope = 0});
    return result;
  };
  const Export result = merge(build(Mode::eval), build(Mode::train));
  ASSERT_EQ(result.graph.state_writes.size(), 2U);
  EXPECT_EQ(result.graph.state_writes[0].when, Mode::both);
  EXPECT_EQ(result.graph.state_writes[1].when, Mode::train);
}

TEST(Slice, OfACapturedPairIsTheGraphOfOneMode) {
  const graph::Graph graph = merged([](Builder& b, Mode mode) {
    const ValueId x = b.input("x", {2, 3});
    const ValueId y = b.call("aten::dropout", {x, 0.5, mode == Mode::train});
    return std::vector{mode == Mode::train ? in_scope(b, "aux", "aten::sin", {y}) : y};
  });
  const graph::Graph eval = slice(graph, Mode::eval), train = slice(graph, Mode::train);
  EXPECT_EQ(count_op(eval, "aten::dropout"), 0U);
  EXPECT_EQ(count_op(eval, "aten::sin"), 0U);
  EXPECT_EQ(count_op(train, "aten::dropout"), 1U);
  EXPECT_EQ(first_difference(eval, eval), "");
  EXPECT_NE(first_difference(eval, train), "");
}

TEST(Mode, IsTheMajorityOfFlags) {
  const auto guess = [](std::vector<bool> flags) {
    return guess_mode(export_in(
                          [&](Builder& b, Mode) {
                            ValueId x = b.input("x", {2, 3});
                            for (const bool flag : flags) x = b.call("aten::dropout", {x, 0.5, flag});
                            return std::vector{x};
                          },
                          Mode::eval)
                          .graph)
        .mode;
  };
  EXPECT_EQ(guess({}), Mode::eval);
  EXPECT_EQ(guess({true}), Mode::train);
  EXPECT_EQ(guess({true, false}), Mode::eval);
  EXPECT_EQ(guess({true, false, true}), Mode::train);
}

TEST(Mode, NormsWithoutRunningStatisticsAreNeverSwitched) {
  Export source = export_in(
      [](Builder& b, Mode) {
        return std::vector{b.call("aten::batch_norm", {b.input("x", {4, 2}), graph::None{}, graph::None{},
                                                       graph::None{}, graph::None{}, true, 0.1, 1e-5, false})};
      },
      Mode::eval);
  EXPECT_EQ(guess_mode(source.graph).train_votes, 0U);
  make_single(source, Mode::eval);
  for (const auto id : source.graph.order()) {
    if (!source.graph.node(id).op->is("aten::batch_norm")) continue;
    EXPECT_EQ(source.graph.node(id).pinned_flags, 1U);
  }
}

}  // namespace
}  // namespace limbeck::capture
