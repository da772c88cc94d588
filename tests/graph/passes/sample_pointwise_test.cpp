#include "limbeck/graph/passes/exchange/sample_pointwise.h"

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

Graph convolution(int64_t kernel, int64_t stride, int64_t padding) {
  Graph graph;
  graph::Builder b(graph);
  at::manual_seed(3);
  const ValueId x = b.input("x", {2, 4, 9, 8});
  const ValueId w = b.parameter("w", at::randn({6, 4, kernel, kernel}));
  b.outputs({{"y", b.call("aten::conv2d", {x, w},
                          {{"stride", ArgumentList{stride, stride}}, {"padding", ArgumentList{padding, padding}}})}});
  return graph;
}

TEST(SamplePointwise, ExchangesTheOpOfStridedOnes) {
  Graph graph = convolution(1, 2, 0);
  std::string expected = graph::print(graph);
  expected.replace(expected.find("aten::conv2d"), std::string("aten::conv2d").size(),
                   "limbeck::strided_pointwise_conv2d");
  EXPECT_TRUE(sample_pointwise(graph));
  EXPECT_EQ(graph::print(graph), expected);
  EXPECT_FALSE(sample_pointwise(graph));
}

TEST(SamplePointwise, LeavesOtherConvolutionsAlone) {
  for (Graph graph : {convolution(1, 1, 0), convolution(3, 2, 0), convolution(1, 2, 1)}) {
    EXPECT_FALSE(sample_pointwise(graph)) << graph::print(graph);
  }
}

TEST(SamplePointwise, KeepsTheOutputs) {
  Graph graph = convolution(1, 3, 0);
  const std::vector<at::Tensor> inputs = {at::randn({2, 4, 9, 8})};
  const auto before = reference_run(graph, graph::Mode::train, inputs, {});
  sample_pointwise(graph);
  EXPECT_TRUE(at::allclose(reference_run(graph, graph::Mode::train, inputs, {})[0], before[0], 1e-5, 1e-6));
}

}  // namespace
}  // namespace limbeck::passes
