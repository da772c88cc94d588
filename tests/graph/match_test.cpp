#include "limbeck/graph/match.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/graph/text/text.h"

namespace limbeck::graph {
namespace {

/// x * sigmoid(x), and a scaled sum.
constexpr const char* kText = R"(graph(%x: f32[4], %y: f32[4])
  %gate = aten::sigmoid(%x)
  %silu = aten::mul.Tensor(%gate, %x)
  %other = aten::mul.Tensor(%gate, %y)
  %half = aten::mul.Tensor(%silu, 0.5)
  %sum = aten::add.Tensor(%half, %y)
  train: (%sum, %other)
  eval: (%sum)
)";

struct Fixture {
  Graph graph = parse(kText);
  UseMap uses{graph};
  ValueId at(const char* name) const { return *graph.find_value(name); }
  std::optional<Match> match(const Pattern& pattern, const char* root) const {
    return graph::match(graph, uses, pattern, at(root));
  }
};

Pattern gated(bool is_shared) {
  Pattern gate = call("aten::sigmoid", {{"self", value("x")}});
  if (is_shared) gate = std::move(gate).shared();
  return call("aten::mul.Tensor", {{"self", value("x")}, {"other", std::move(gate)}}).commutes();
}

TEST(Match, CapturesAndCommutes) {
  const Fixture f;
  const auto found = f.match(gated(true), "silu");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->value("x"), f.at("x"));
  EXPECT_EQ(found->nodes, (std::vector<NodeId>{f.at("silu").node, f.at("gate").node}));
}

TEST(Match, RefusesDifferentArgumentsUnderOneName) {
  const Fixture f;
  EXPECT_FALSE(f.match(gated(true), "other").has_value());  // y * sigmoid(x)
}

TEST(Match, LeavesValuesWithOtherUsers) {
  const Fixture f;
  EXPECT_FALSE(f.match(gated(false), "silu").has_value());  // gate has a second user
}

TEST(Match, ReadsConstantsAndAlternatives) {
  const Fixture f;
  const Pattern scaled = call_one_of(
      {"aten::sub.Tensor", "aten::add.Tensor"},
      {{"self", call("aten::mul.Tensor", {{"other", number("scale")}}).as("product")}, {"alpha", constant(1)}});
  const auto found = f.match(scaled, "sum");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->arguments.at("scale").as_double(), 0.5);
  EXPECT_EQ(found->value("product"), f.at("half"));
  EXPECT_THROW(found->value("scale"), InternalError);
  EXPECT_THROW(found->value("nothing"), InternalError);
  EXPECT_FALSE(f.match(call("aten::add.Tensor", {{"alpha", constant(2)}}), "sum").has_value());
  EXPECT_FALSE(f.match(call("aten::add.Tensor", {{"other", number("n")}}), "sum").has_value());
  EXPECT_FALSE(f.match(call("aten::add.Tensor", {{"no_such_slot", any("n")}}), "sum").has_value());
  EXPECT_FALSE(f.match(call("aten::relu", {}), "sum").has_value());
}

TEST(Match, ForgetsWhatAFailedOrderCaptured) {
  const Graph graph = parse(R"(graph(%x: f32[4])
  %a = aten::neg(%x)
  %b = aten::relu(%x)
  %sum = aten::add.Tensor(%a, %b)
  train: (%sum)
  eval: (%sum)
)");
  const UseMap uses(graph);
  const Pattern pattern =
      call("aten::add.Tensor", {{"self", any("first")}, {"other", call("aten::neg", {})}}).commutes();
  const auto found = match(graph, uses, pattern, *graph.find_value("sum"));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->value("first"), *graph.find_value("b"));
  EXPECT_EQ(found->nodes.size(), 2U);
}

}  // namespace
}  // namespace limbeck::graph
