#include "limbeck/graph/passes/exchange/depthwise_gradients.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/graph/builder.h"
#include "limbeck/graph/passes/reference_run.h"
#include "limbeck/graph/text/text.h"

namespace limbeck::passes {
namespace {

using graph::ArgumentList;
using graph::Graph;
using graph::ValueId;

/// A convolution of 4 channels: `filters` of them for weights [filters, 4 / groups, 3, 3].
Graph convolution(int64_t filters, int64_t groups, int64_t dilation = 1) {
  Graph graph;
  graph::Builder b(graph);
  at::manual_seed(3);
  const ValueId x = b.input("x", {2, 4, 8, 8});
  const ValueId w = b.parameter("w", at::randn({filters, 4 / groups, 3, 3}));
  b.outputs(
      {{"y", b.call("aten::conv2d", {x, w}, {{"groups", groups}, {"dilation", ArgumentList{dilation, dilation}}})}});
  return graph;
}

TEST(UseDepthwiseGradients, ExchangesTheOpOfDepthwiseConvolutions) {
  Graph graph = convolution(4, 4);
  std::string expected = graph::print(graph);
  expected.replace(expected.find("aten::conv2d"), std::string("aten::conv2d").size(), "limbeck::depthwise_conv2d");
  EXPECT_TRUE(use_depthwise_gradients(graph));
  EXPECT_EQ(graph::print(graph), expected);
  EXPECT_FALSE(use_depthwise_gradients(graph));
}

TEST(UseDepthwiseGradients, LeavesOtherConvolutionsAlone) {
  for (Graph graph : {convolution(4, 1), convolution(8, 4), convolution(4, 2), convolution(4, 4, 2)}) {
    EXPECT_FALSE(use_depthwise_gradients(graph)) << graph::print(graph);
  }
}

TEST(UseDepthwiseGradients, KeepsTheOutputsBits) {
  Graph graph = convolution(4, 4);
  const std::vector<at::Tensor> inputs = {at::randn({2, 4, 8, 8})};
  const auto before = reference_run(graph, graph::Mode::train, inputs, {});
  use_depthwise_gradients(graph);
  EXPECT_TRUE(at::equal(reference_run(graph, graph::Mode::train, inputs, {})[0], before[0]));
}

}  // namespace
}  // namespace limbeck::passes
