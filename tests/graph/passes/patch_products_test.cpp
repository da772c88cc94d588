#include "limbeck/graph/passes/exchange/patch_products.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

#include "limbeck/graph/builder.h"
#include "limbeck/graph/passes/reference_run.h"
#include "limbeck/graph/text/text.h"

namespace limbeck::passes {
namespace {

using graph::ArgumentList;
using graph::Graph;
using graph::ValueId;

struct Convolution {
  int64_t kernel = 8, stride = 8, padding = 0, dilation = 1, groups = 1;
};

Graph convolution(const Convolution& c) {
  Graph graph;
  graph::Builder b(graph);
  at::manual_seed(3);
  const ValueId x = b.input("x", {2, 4, 25, 19});
  const ValueId w = b.parameter("w", at::randn({6, 4 / c.groups, c.kernel, c.kernel}));
  b.outputs({{"y", b.call("aten::conv2d", {x, w},
                          {{"stride", ArgumentList{c.stride, c.stride}},
                           {"padding", ArgumentList{c.padding, c.padding}},
                           {"dilation", ArgumentList{c.dilation, c.dilation}},
                           {"groups", c.groups}})}});
  return graph;
}

TEST(PatchProducts, ExchangesTheOpAndKeepsTheOutputs) {
  Graph graph = convolution({});
  const std::vector<at::Tensor> inputs = {at::randn({2, 4, 25, 19})};
  const auto before = reference_run(graph, graph::Mode::train, inputs, {});
  std::string expected = graph::print(graph);
  expected.replace(expected.find("aten::conv2d"), std::string("aten::conv2d").size(), "limbeck::patch_conv2d");
  EXPECT_TRUE(use_patch_products(graph));
  EXPECT_EQ(graph::print(graph), expected);
  EXPECT_TRUE(at::allclose(reference_run(graph, graph::Mode::train, inputs, {})[0], before[0], 1e-4, 1e-4));
  EXPECT_FALSE(use_patch_products(graph)) << "applied twice";
}

TEST(PatchProducts, LeavesOtherConvolutionsAlone) {
  for (Graph graph : {convolution({.kernel = 4, .stride = 4}), convolution({.stride = 7}), convolution({.padding = 1}),
                      convolution({.dilation = 2}), convolution({.groups = 2})})
    EXPECT_FALSE(use_patch_products(graph)) << graph::print(graph);
}

}  // namespace
}  // namespace limbeck::passes
