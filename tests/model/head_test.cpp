#include "limbeck/model/head.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "tests/model/networks.h"

namespace limbeck {
namespace {

using graph::Builder;
using graph::Graph;
using graph::ValueId;
using testing::is_equal;
using testing::message_of;
using testing::normal;
using testing::residual_network;
using testing::tensor_of;

/// As SqueezeNet's: conv 1x1 -> relu -> mean over pixels, after a gate that is a 1x1 convolution too.
Graph convolutional_head() {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {graph::IntExpr::symbol("B"), 4, 5, 5});
  ValueId y;
  {
    const auto scope = builder.enter("gate");
    const ValueId weight = builder.parameter("gate.weight", normal({4, 4, 1, 1}, 1));
    y = builder.call("aten::mul.Tensor", {x, builder.call("aten::conv2d", {x, weight})});
  }
  {
    const auto scope = builder.enter("classifier");
    const ValueId weight = builder.parameter("classifier.weight", normal({7, 4, 1, 1}, 2));
    y = builder.call("aten::conv2d", {y, weight, builder.parameter("classifier.bias", normal({7}, 3))});
  }
  y = builder.call("aten::mean.dim", {builder.call("aten::relu", {y}), std::vector<int64_t>{2, 3}, false});
  builder.outputs({{"out", y}});
  return graph;
}

TEST(ReplaceHead, LinearGetsItsClassesAndAllElseStays) {
  Model model(residual_network());
  const at::Tensor convolution = tensor_of(model, "conv1.weight");
  const auto names_before = model.state_dict();
  model.replace_head("fc", {.classes = 11});
  EXPECT_EQ(tensor_of(model, "fc.weight").sizes(), (std::vector<int64_t>{11, 6}));
  EXPECT_EQ(tensor_of(model, "fc.bias").sizes(), (std::vector<int64_t>{11}));
  EXPECT_TRUE(tensor_of(model, "conv1.weight").is_same(convolution));
  const auto names_after = model.state_dict();
  for (std::size_t i = 0; i < names_before.size(); ++i) EXPECT_EQ(names_before[i].name, names_after[i].name);
  const at::Tensor y = model(normal({2, 3, 8, 8}, 1));
  EXPECT_EQ(y.sizes(), (std::vector<int64_t>{2, 11}));
  y.sum().backward();
  EXPECT_TRUE(tensor_of(model, "fc.weight").grad().defined());
}

TEST(ReplaceHead, TypesFollow) {
  Graph graph = residual_network();
  replace_head(graph, "fc", {.classes = 11});
  const graph::Type& type = graph.type(*graph.eval_outputs[0].value.value());
  EXPECT_EQ(*type.tensor()->sizes, (graph::Sizes{graph::IntExpr::symbol("B"), 11}));
}

TEST(ReplaceHead, OldClassesNamesGoAndOtherMetadataStays) {
  Graph graph = residual_network();
  graph.metadata = {{"labels", R"(["cat","dog","cow","hen","fox"])"}, {"name", "small"}};
  replace_head(graph, "fc", {.classes = 3});
  EXPECT_EQ(graph.metadata, (std::map<std::string, std::string>{{"name", "small"}}));
}

TEST(ReplaceHead, DrawsAsTorchDoes) {
  // torch.manual_seed(7); torch.nn.Linear(6, 3): values of torch 2.13.0.
  Graph graph = residual_network();
  replace_head(graph, "fc", {.classes = 3, .seed = 7});
  at::manual_seed(7);
  const double slope = std::sqrt(5.0);
  const double bound = std::sqrt(3.0) * (std::sqrt(2.0 / (1.0 + slope * slope)) / std::sqrt(6.0));
  const at::Tensor weight = at::empty({3, 6}).uniform_(-bound, bound);
  const at::Tensor bias = at::empty({3}).uniform_(-1 / std::sqrt(6.0), 1 / std::sqrt(6.0));
  EXPECT_TRUE(is_equal(graph.parameter("fc.weight").tensor, weight));
  EXPECT_TRUE(is_equal(graph.parameter("fc.bias").tensor, bias));
}

TEST(ReplaceHead, DifferentSeedsDifferAndEqualOnesDoNot) {
  Model a(residual_network()), b(residual_network()), c(residual_network());
  a.replace_head("fc", {.classes = 3, .seed = 1});
  b.replace_head("fc", {.classes = 3, .seed = 1});
  c.replace_head("fc", {.classes = 3, .seed = 2});
  EXPECT_TRUE(is_equal(tensor_of(a, "fc.weight"), tensor_of(b, "fc.weight")));
  EXPECT_FALSE(at::equal(tensor_of(a, "fc.weight"), tensor_of(c, "fc.weight")));
}

TEST(ReplaceHead, PointwiseConvolution) {
  Model model(convolutional_head());
  EXPECT_EQ(find_heads(model.graph()), std::vector<std::string>{"classifier"});
  model.replace_head("classifier", {.classes = 3});
  EXPECT_EQ(tensor_of(model, "classifier.weight").sizes(), (std::vector<int64_t>{3, 4, 1, 1}));
  EXPECT_EQ(model(normal({2, 4, 5, 5}, 1)).sizes(), (std::vector<int64_t>{2, 3}));
}

TEST(ReplaceHead, RefusesWhatIsNoClassifierNamingTheCandidates) {
  Model model(convolutional_head());
  for (const char* wrong : {"gate", "nothing", ""}) {
    const std::string message = message_of<InvalidArgument>([&] { model.replace_head(wrong, {.classes = 3}); });
    EXPECT_NE(message.find("Candidates: classifier."), std::string::npos) << message;
  }
  EXPECT_THROW(model.replace_head("classifier", {.classes = 0}), InvalidArgument);
}

TEST(ReplaceHead, RefusesATiedWeight) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {graph::IntExpr::symbol("B"), 3}, at::kLong);
  const ValueId table = builder.parameter("embedding.weight", normal({9, 4}, 1));
  const ValueId embedded = builder.call("aten::embedding", {table, x});
  {
    const auto scope = builder.enter("head");
    const ValueId tied = builder.parameter("head.weight", graph.parameter("embedding.weight").tensor);
    builder.outputs({{"out", builder.call("aten::linear", {embedded, tied})}});
  }
  Model model(std::move(graph));
  EXPECT_NE(message_of<Unsupported>([&] { model.replace_head("head", {.classes = 3}); }).find("embedding.weight"),
            std::string::npos);
}

}  // namespace
}  // namespace limbeck
