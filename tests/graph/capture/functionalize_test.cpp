#include "limbeck/graph/capture/functional/functionalize.h"

#include <ATen/ATen.h>
#include <ATen/core/function_schema.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/graph/capture/functional/aliasing.h"
#include "limbeck/graph/passes/reference_run.h"
#include "tests/graph/capture/raw_graphs.h"

namespace limbeck::capture {
namespace {

using graph::Argument;
using graph::ArgumentList;
using graph::Builder;
using graph::Node;
using graph::NodeId;
using graph::ValueId;
using testing::raw_export;

using Build = std::function<std::vector<ValueId>(Builder&)>;

/// No op writes, and outputs and buffers are eager's bit for bit.
void expect_like_eager(const Build& build) {
  const Export raw = raw_export(build);
  const Export functional = functionalize(raw);
  for (const NodeId id : functional.graph.order())
    EXPECT_FALSE(written_slot(*functional.graph.node(id).op)) << functional.graph.node(id).op->name;
  const auto inputs = passes::random_inputs(raw.graph, {}, 3);
  const auto want = testing::run_eagerly(raw, inputs), got = testing::run_functionally(functional, inputs);
  ASSERT_EQ(got.outputs.size(), want.outputs.size());
  for (std::size_t i = 0; i < want.outputs.size(); ++i)
    EXPECT_TRUE(at::equal(got.outputs[i], want.outputs[i])) << "output " << i;
  for (std::size_t i = 0; i < want.buffers.size(); ++i)
    EXPECT_TRUE(at::equal(got.buffers[i].second, want.buffers[i].second)) << want.buffers[i].first;
}

const Node* find_node(const graph::Graph& graph, std::string_view op) {
  for (const NodeId id : graph.order()) {
    if (graph.node(id).op->is(op)) return &graph.node(id);
  }
  return nullptr;
}

TEST(Functionalize, KeepsAWriteToAWholeFreshTensorMarked) {
  const auto build = [](Builder& b) {
    const ValueId x = b.input("x", {2, 3});
    const ValueId y = b.call("aten::neg", {x});
    return std::vector{b.call("aten::relu_", {y}), y};
  };
  expect_like_eager(build);
  const Export functional = functionalize(raw_export(build));
  const Node* relu = find_node(functional.graph, "aten::relu");
  ASSERT_NE(relu, nullptr);
  EXPECT_TRUE(relu->was_in_place);
}

TEST(Functionalize, DoesNotMarkWritesToInputsOrAfterDropout) {
  const auto relu_of = [](const char* op, std::vector<Argument> rest) {
    const Export functional = functionalize(raw_export([&](Builder& b) {
      ValueId y = b.input("x", {2, 3});
      if (op != nullptr) {
        std::vector<Argument> arguments{y};
        arguments.insert(arguments.end(), rest.begin(), rest.end());
        y = b.call(op, arguments);
      }
      return std::vector{b.call("aten::relu_", {y})};
    }));
    return find_node(functional.graph, "aten::relu")->was_in_place;
  };
  EXPECT_FALSE(relu_of(nullptr, {}));
  EXPECT_FALSE(relu_of("aten::dropout", {0.5, true}));
  EXPECT_FALSE(relu_of("aten::dropout", {0.5, false}));
  EXPECT_TRUE(relu_of("aten::neg", {}));
}

struct ViewCase {
  const char* name;
  const char* op;
  std::vector<Argument> arguments;
};

class WriteThroughView : public ::testing::TestWithParam<ViewCase> {};

/// y is written through a view of it; y, the view, and an older view of y are all used afterwards.
TEST_P(WriteThroughView, ChangesBaseAndAllViews) {
  const ViewCase& view = GetParam();
  expect_like_eager([&](Builder& b) {
    const ValueId y = b.call("aten::neg", {b.input("x", {4, 6})});
    const ValueId other = b.call("aten::t", {y});
    std::vector<Argument> arguments{y};
    arguments.insert(arguments.end(), view.arguments.begin(), view.arguments.end());
    const ValueId v = b.call_all(view.op, arguments).back();
    b.call("aten::mul_.Scalar", {v, 3.0});
    b.call("aten::add_.Scalar", {other, 1.0});
    return std::vector{y, v, other};
  });
}

const ViewCase kViews[] = {
    {"view", "aten::view", {ArgumentList{2, 12}}},
    {"reshape", "aten::reshape", {ArgumentList{24}}},
    {"flatten", "aten::flatten.using_ints", {0, 1}},
    {"unflatten", "aten::unflatten.int", {1, ArgumentList{2, 3}}},
    {"unsqueeze", "aten::unsqueeze", {1}},
    {"squeeze", "aten::squeeze", {}},
    {"t", "aten::t", {}},
    {"transpose", "aten::transpose.int", {0, -1}},
    {"permute", "aten::permute", {ArgumentList{1, 0}}},
    {"movedim", "aten::movedim.int", {0, 1}},
    {"select", "aten::select.int", {0, 2}},
    {"slice", "aten::slice.Tensor", {1, 1, 6, 2}},
    {"narrow", "aten::narrow", {1, 2, 3}},
    {"chunk", "aten::chunk", {3, 1}},
    {"split", "aten::split.Tensor", {4, 1}},
    {"split_with_sizes", "aten::split_with_sizes", {ArgumentList{1, 5}, 1}},
    {"unbind", "aten::unbind.int", {1}},
    {"diagonal", "aten::diagonal", {1, 0, 1}},
    {"as_strided", "aten::as_strided", {ArgumentList{2, 2}, ArgumentList{6, 2}, 3}},
    {"alias", "aten::alias", {}},
    {"contiguous", "aten::contiguous", {}},
    {"to", "aten::to.dtype", {at::kFloat}},
    {"dropout_in_eval_mode", "aten::dropout", {0.5, false}},
};
INSTANTIATE_TEST_SUITE_P(Views, WriteThroughView, ::testing::ValuesIn(kViews),
                         [](const auto& test) { return test.param.name; });

TEST(Functionalize, WritesThroughViewsOfViews) {
  expect_like_eager([](Builder& b) {
    const ValueId y = b.call("aten::neg", {b.input("x", {4, 6})});
    const ValueId v = b.call("aten::select.int", {b.call("aten::view", {y, ArgumentList{4, 2, 3}}), 1, 0});
    const ValueId w = b.call("aten::slice.Tensor", {v, 1, 1});
    b.call("aten::add_.Tensor", {w, b.call("aten::slice.Tensor", {y, 1, 4, 6})});
    b.call("aten::copy_",
           {b.call("aten::select.int", {b.call("aten::t", {y}), 0, 5}), b.call("aten::select.int", {v, 1, 0})});
    return std::vector{y, v, w};
  });
}

/// v = y[:, :2]; y.relu_(); with torch.no_grad(): s = v.mean(); return v * s
TEST(Functionalize, AViewMadeAgainKeepsItsOwnRegion) {
  const auto build = [](Builder& b) {
    const ValueId y = b.call("aten::neg", {b.input("x", {4, 6})});
    const ValueId v = b.call("aten::slice.Tensor", {y, 1, 0, 2});
    b.call("aten::relu_", {y});
    const ValueId mean = b.call("aten::mean", {v});
    b.graph().edit(mean.node).region = b.graph().add_region({.grad_enabled = false, .autocast = {}});
    return std::vector{b.call("aten::mul.Tensor", {v, mean})};
  };
  expect_like_eager(build);
  const Export functional = functionalize(raw_export(build));
  const auto region_of = [&](std::string_view op) {
    return functional.graph.regions()[find_node(functional.graph, op)->region].grad_enabled;
  };
  EXPECT_EQ(region_of("aten::slice.Tensor"), std::nullopt);
  EXPECT_EQ(region_of("aten::mean"), std::optional(false));
}

TEST(Functionalize, AConstantThatIsWrittenIsNone) {
  Export raw = raw_export([](Builder& b) {
    const ValueId count = b.buffer("count", at::zeros({2}), false), table = b.buffer("table", at::ones({2}), false);
    b.call("aten::add_.Scalar", {count, 1});
    return std::vector{b.call("aten::mul.Tensor", {count, table})};
  });
  raw.lifted = {"count", "table"};
  EXPECT_EQ(functionalize(raw).lifted, std::set<std::string>{"table"});
  Export lowered = raw_export([](Builder& b) {
    const ValueId count = b.buffer("count", at::zeros({2}), false);
    return std::vector{b.call("aten::add.Scalar", {count, 1})};
  });
  lowered.lifted = {"count"};
  lowered.graph.state_writes = {{.buffer = "count", .value = *lowered.graph.eval_outputs[0].value.value()}};
  EXPECT_TRUE(functionalize(lowered).lifted.empty());
}

TEST(Functionalize, ACopyIsNoView) {
  expect_like_eager([](Builder& b) {
    const ValueId y = b.call("aten::neg", {b.input("x", {4, 6})});
    const ValueId copied = b.call("aten::reshape", {b.call("aten::t", {y}), ArgumentList{4, 6}});
    b.call("aten::zero_", {copied});
    const ValueId moved = b.call("aten::contiguous", {b.call("aten::t", {y})});
    b.call("aten::fill_.Scalar", {moved, 2.0});
    return std::vector{y, copied, moved};
  });
}

TEST(Functionalize, KeepsTheDtypeOfWhatIsWritten) {
  expect_like_eager([](Builder& b) {
    const ValueId y = b.call("aten::neg", {b.input("x", {4, 6})});
    const ValueId wide = b.call("aten::to.dtype", {b.input("z", {4, 6}), at::kDouble});
    b.call("aten::mul_.Tensor", {y, wide});
    const ValueId test = b.call("aten::neg", {y});
    b.call("aten::gt_.Scalar", {test, 0.0});
    return std::vector{y, test};
  });
}

TEST(Functionalize, FollowsShapeChangesInPlace) {
  expect_like_eager([](Builder& b) {
    const ValueId y = b.call("aten::neg", {b.input("x", {4, 1, 6})});
    const ValueId turned = b.call("aten::t_", {b.call("aten::squeeze_.dim", {y, 1})});
    b.call("aten::add_.Scalar", {b.call("aten::select.int", {turned, 0, 1}), 5.0});
    return std::vector{turned};
  });
}

TEST(Functionalize, TurnsBufferWritesIntoStateWrites) {
  const auto build = [](Builder& b) {
    const ValueId x = b.input("x", {4});
    const ValueId count = b.buffer("steps", at::zeros({}, at::kLong)), ring = b.buffer("ring", at::zeros({3, 4}));
    b.call("aten::add_.Scalar", {count, 1});
    b.call("aten::add_.Scalar", {count, 1});
    b.call("aten::copy_", {b.call("aten::select.int", {ring, 0, 1}), x});
    return std::vector{b.call("aten::mul.Tensor", {x, count}), b.call("aten::sum", {ring})};
  };
  expect_like_eager(build);
  const Export functional = functionalize(raw_export(build));
  ASSERT_EQ(functional.graph.state_writes.size(), 2U);
}

TEST(Functionalize, LeavesHiddenWritesToTheirOp) {
  const Export functional = functionalize(raw_export([](Builder& b) {
    const ValueId x = b.input("x", {4, 2});
    const ValueId mean = b.buffer("running_mean", at::zeros({2})), variance = b.buffer("running_var", at::ones({2}));
    return std::vector{
        b.call("aten::batch_norm", {x, graph::None{}, graph::None{}, mean, variance, true, 0.1, 1e-5, false})};
  }));
  EXPECT_TRUE(functional.graph.state_writes.empty());
  EXPECT_NE(find_node(functional.graph, "aten::batch_norm"), nullptr);
}

TEST(Functionalize, RefusesWhatValuesCannotExpress) {
  const auto message = [](const Build& build) {
    try {
      functionalize(raw_export(build));
    } catch (const Unsupported& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message([](Builder& b) {
              const ValueId w = b.parameter("w", at::ones({2}).set_requires_grad(false));
              b.call("aten::add_.Scalar", {b.call("aten::detach", {w}), 1.0});
              return std::vector{w};
            }).find("writes the parameter 'w'"),
            std::string::npos);
  EXPECT_NE(message([](Builder& b) {
              const at::Tensor shared = at::zeros({4});
              const ValueId a = b.buffer("a", shared), c = b.buffer("b", shared.narrow(0, 0, 2));
              b.call("aten::add_.Scalar", {a, 1.0});
              return std::vector{c};
            }).find("shares its memory"),
            std::string::npos);
}

/// A view that shows other numbers than its base has: y is written through it.
class WriteThroughOtherNumbers : public ::testing::TestWithParam<ViewCase> {};

TEST_P(WriteThroughOtherNumbers, IsRefusedWithOpScopeAndAdvice) {
  const ViewCase& view = GetParam();
  const Export raw = raw_export([&](Builder& b) {
    const bool is_bits = std::string_view(view.op) == "aten::view.dtype";
    const ValueId y = b.call("aten::neg", {b.input("x", {2, 3}, is_bits ? at::kFloat : at::kComplexFloat)});
    const auto scope = b.enter("spectrum");
    std::vector<Argument> arguments{y};
    arguments.insert(arguments.end(), view.arguments.begin(), view.arguments.end());
    b.call("aten::zero_", {b.call(view.op, arguments)});
    return std::vector{y};
  });
  try {
    functionalize(raw);
    FAIL() << "lost a write through " << view.op;
  } catch (const Unsupported& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(std::string(view.op) + " in 'spectrum'"), std::string::npos) << message;
    EXPECT_NE(message.find("Compute a new tensor"), std::string::npos) << message;
  }
}

const ViewCase kOtherNumbers[] = {
    {"conj", "aten::conj", {}},
    {"real", "aten::real", {}},
    {"imag", "aten::imag", {}},
    {"adjoint", "aten::adjoint", {}},
    {"matrix_H", "aten::matrix_H", {}},
    {"resolve_conj", "aten::resolve_conj", {}},
    {"view_as_real", "aten::view_as_real", {}},
    {"dtype", "aten::view.dtype", {at::kInt}},
};
INSTANTIATE_TEST_SUITE_P(Views, WriteThroughOtherNumbers, ::testing::ValuesIn(kOtherNumbers),
                         [](const auto& test) { return test.param.name; });

TEST(Functionalize, KeepsAConjugateThatIsOnlyRead) {
  expect_like_eager([](Builder& b) {
    const ValueId y = b.call("aten::neg", {b.input("x", {2, 3}, at::kComplexFloat)});
    const ValueId mirrored = b.call("aten::conj", {y}), real = b.call("aten::real", {y});
    b.call("aten::mul_.Scalar", {y, 2.0});
    return std::vector{b.call("aten::add.Tensor", {mirrored, y}), b.call("aten::neg", {real})};
  });
}

}  // namespace
}  // namespace limbeck::capture
