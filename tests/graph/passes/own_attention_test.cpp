#include "limbeck/graph/passes/exchange/own_attention.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/graph/builder.h"
#include "limbeck/graph/passes/reference_run.h"
#include "limbeck/graph/text/text.h"

namespace limbeck::passes {
namespace {

using graph::Graph;
using graph::ValueId;

Graph attention(const std::vector<std::pair<std::string, graph::Argument>>& arguments) {
  Graph graph;
  graph::Builder b(graph);
  const ValueId q = b.input("q", {2, 2, 5, 8}), k = b.input("k", {2, 2, 7, 8}), v = b.input("v", {2, 2, 7, 8});
  b.outputs({{"y", b.call("aten::scaled_dot_product_attention", {q, k, v}, arguments)}});
  return graph;
}

TEST(OwnAttention, ExchangesTheOp) {
  for (Graph graph : {attention({}), attention({{"scale", 0.5}})}) {
    std::string expected = graph::print(graph);
    expected.replace(expected.find("aten::scaled"), std::string("aten").size(), "limbeck");
    EXPECT_TRUE(use_own_attention(graph));
    EXPECT_EQ(graph::print(graph), expected);
    EXPECT_FALSE(use_own_attention(graph)) << "applied twice";
  }
}

TEST(OwnAttention, LeavesOthersAlone) {
  Graph masked;
  graph::Builder b(masked);
  const ValueId x = b.input("x", {1, 1, 4, 4});
  b.outputs({{"y", b.call("aten::scaled_dot_product_attention", {x, x, x, x})}});
  for (Graph graph :
       {masked, attention({{"dropout_p", 0.1}}), attention({{"is_causal", true}}), attention({{"enable_gqa", true}})})
    EXPECT_FALSE(use_own_attention(graph)) << graph::print(graph);
}

TEST(OwnAttention, KeepsTheOutputs) {
  Graph graph = attention({{"scale", 0.5}});
  at::manual_seed(1);
  const std::vector<at::Tensor> inputs = {at::randn({2, 2, 5, 8}), at::randn({2, 2, 7, 8}), at::randn({2, 2, 7, 8})};
  const auto before = reference_run(graph, graph::Mode::train, inputs, {});
  use_own_attention(graph);
  EXPECT_TRUE(at::allclose(reference_run(graph, graph::Mode::train, inputs, {})[0], before[0], 1e-5, 1e-6));
}

}  // namespace
}  // namespace limbeck::passes
