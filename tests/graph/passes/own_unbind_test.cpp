#include "limbeck/graph/passes/exchange/own_unbind.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>

#include "limbeck/graph/builder.h"
#include "limbeck/graph/passes/reference_run.h"
#include "limbeck/graph/text/text.h"

namespace limbeck::passes {
namespace {

using graph::Graph;
using graph::ValueId;

/// Attention whose query, key and value are the parts of x with these numbers.
Graph attention_of_parts(const std::array<std::size_t, 3>& order, int64_t parts, const char* op) {
  Graph graph;
  graph::Builder b(graph);
  const std::vector<ValueId> values = b.call_all("aten::unbind.int", {b.input("x", {parts, 2, 2, 5, 8}), 0});
  b.outputs({{"y", b.call(op, {values[order[0]], values[order[1]], values[order[2]]})}});
  return graph;
}

constexpr const char* kOwn = "limbeck::scaled_dot_product_attention";

TEST(OwnUnbind, ExchangesTheOpBeforeAttention) {
  Graph graph = attention_of_parts({0, 1, 2}, 3, kOwn);
  const std::vector<at::Tensor> inputs = {at::randn({3, 2, 2, 5, 8})};
  const auto before = reference_run(graph, graph::Mode::train, inputs, {});
  EXPECT_TRUE(use_own_unbind(graph));
  EXPECT_NE(graph::print(graph).find("limbeck::unbind(%x"), std::string::npos) << graph::print(graph);
  EXPECT_TRUE(at::equal(reference_run(graph, graph::Mode::train, inputs, {})[0], before[0]));
  EXPECT_FALSE(use_own_unbind(graph)) << "applied twice";
}

TEST(OwnUnbind, LeavesOthersAlone) {
  for (Graph graph : {attention_of_parts({0, 2, 1}, 3, kOwn), attention_of_parts({0, 1, 2}, 4, kOwn),
                      attention_of_parts({0, 1, 2}, 3, "aten::scaled_dot_product_attention")})
    EXPECT_FALSE(use_own_unbind(graph)) << graph::print(graph);
}

}  // namespace
}  // namespace limbeck::passes
