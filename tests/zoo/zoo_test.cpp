#include "limbeck/zoo/zoo.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "limbeck/core/error.h"
#include "limbeck/graph/infer.h"
#include "limbeck/graph/text/text.h"
#include "limbeck/graph/verify.h"

namespace limbeck::zoo {
namespace {

using graph::Graph;
using graph::Mode;
using graph::Parameter;

int64_t num_parameters(const Graph& graph) {
  int64_t count = 0;
  for (const Parameter& parameter : graph.parameters()) count += parameter.is_buffer ? 0 : parameter.tensor.numel();
  return count;
}

int64_t macs(const Graph& graph) { return graph::count_macs(graph, Mode::eval, {{"B", 1}}); }

ZooOptions basic(std::vector<int64_t> widths) {
  return {.classes = 10,
          .in_channels = 1,
          .image_size = 28,
          .blocks = {1, 1, 1},
          .widths = std::move(widths),
          .stem_stride = 2};
}

TEST(Zoo, CountsParametersAsPublished) {
  EXPECT_EQ(num_parameters(make("resnet18")), 11'689'512);
  EXPECT_EQ(num_parameters(make("resnet50")), 25'557'032);
  EXPECT_EQ(num_parameters(make("mobilenet_v2")), 3'504'872);
  EXPECT_EQ(num_parameters(make("efficientnet_b0")), 5'288'548);
  EXPECT_EQ(num_parameters(make("wide_resnet", {.depth = 28, .width = 10.0})), 36'479'194);
  EXPECT_EQ(num_parameters(make("wide_resnet", {.depth = 16, .width = 4.0})), 2'748'890);
  EXPECT_EQ(num_parameters(make("resnet_basic", basic({32, 64, 128}))), 308'074);
  EXPECT_EQ(num_parameters(make("resnet_basic", basic({8, 16, 32}))), 19'810);
}

TEST(Zoo, CountsMacsAsPublished) {
  EXPECT_NEAR(static_cast<double>(macs(make("resnet18"))), 1.81e9, 0.01e9);
  EXPECT_NEAR(static_cast<double>(macs(make("resnet50"))), 4.09e9, 0.005e9);
  EXPECT_NEAR(static_cast<double>(macs(make("mobilenet_v2"))), 0.30e9, 0.005e9);
  EXPECT_NEAR(static_cast<double>(macs(make("efficientnet_b0"))), 0.39e9, 0.005e9);
  EXPECT_NEAR(static_cast<double>(macs(make("resnet_basic", basic({32, 64, 128})))), 10.15e6, 0.005e6);
}

class Architecture : public ::testing::TestWithParam<std::string> {};

TEST_P(Architecture, IsSoundAndRoundTrips) {
  const Graph graph = make(GetParam(), {.image_size = 32});
  EXPECT_EQ(graph::find_faults(graph), std::vector<std::string>{});
  const std::string text = graph::print(graph);
  EXPECT_EQ(graph::print(graph::parse(text)), text);
  EXPECT_EQ(graph.eval_outputs.at(0).name, "logits");
  const graph::ValueId logits = *graph.eval_outputs[0].value.value();
  const int64_t classes =
      GetParam().find("basic") != std::string::npos || GetParam().find("cifar") == 0 || GetParam().find("wide") == 0
          ? 10
          : 1000;
  EXPECT_EQ(*graph.type(logits).tensor()->sizes, (graph::Sizes{graph::IntExpr::symbol("B"), classes}));
}

TEST_P(Architecture, DependsOnItsSeedAlone) {
  at::manual_seed(3);
  const at::Tensor next = at::rand({4});
  at::manual_seed(3);
  const Graph a = make(GetParam(), {.image_size = 32, .seed = 5}), b = make(GetParam(), {.image_size = 32, .seed = 5});
  const Graph c = make(GetParam(), {.image_size = 32, .seed = 6});
  EXPECT_TRUE(at::equal(at::rand({4}), next)) << "the global generator was used";
  for (const Parameter& parameter : a.parameters()) {
    EXPECT_TRUE(at::equal(parameter.tensor, b.parameter(parameter.name).tensor)) << parameter.name;
  }
  EXPECT_FALSE(at::equal(a.parameters()[0].tensor, c.parameters()[0].tensor));
}

TEST_P(Architecture, TakesClassesChannelsAndSize) {
  const Graph graph = make(GetParam(), {.classes = 7, .in_channels = 2, .image_size = 40});
  EXPECT_EQ(*graph.inputs[0].type.tensor()->sizes, (graph::Sizes{graph::IntExpr::symbol("B"), 2, 40, 40}));
  EXPECT_EQ(graph.type(*graph.train_outputs[0].value.value()).tensor()->sizes->at(1), graph::IntExpr(7));
}

TEST_P(Architecture, CountsBatchesInTrainModeAlone) {
  const Graph graph = make(GetParam(), {.image_size = 32});
  std::size_t num_norms = 0;
  for (const graph::NodeId id : graph.order()) num_norms += graph.node(id).op->is("aten::batch_norm") ? 1 : 0;
  EXPECT_EQ(graph.state_writes.size(), num_norms);
  for (const graph::StateWrite& write : graph.state_writes) {
    EXPECT_EQ(write.when, Mode::train);
    EXPECT_TRUE(write.buffer.ends_with(".num_batches_tracked")) << write.buffer;
  }
}

std::vector<std::string> names() {
  std::vector<std::string> result;
  for (const ZooEntry& entry : list()) result.push_back(entry.name);
  return result;
}

INSTANTIATE_TEST_SUITE_P(Each, Architecture, ::testing::ValuesIn(names()),
                         [](const auto& architecture) { return architecture.param; });

/// "name dtype [sizes]" of each entry of the state dict, as torchvision's was written by tests/export/zoo_reference.py.
std::string state_lines(const Graph& graph) {
  std::ostringstream text;
  for (const Parameter& parameter : graph.parameters()) {
    text << parameter.name << (parameter.tensor.scalar_type() == at::kLong ? " int64 [" : " float32 [");
    for (int64_t axis = 0; axis < parameter.tensor.dim(); ++axis) {
      text << (axis == 0 ? "" : ", ") << parameter.tensor.size(axis);
    }
    text << "]\n";
  }
  return text.str();
}

class TorchvisionNames : public ::testing::TestWithParam<const char*> {};

TEST_P(TorchvisionNames, AreOurs) {
  const std::string path = std::string(LIMBECK_SOURCE_DIR "/tests/zoo/torchvision/") + GetParam() + ".txt";
  std::ifstream file(path);
  ASSERT_TRUE(file) << path;
  std::ostringstream expected;
  expected << file.rdbuf();
  EXPECT_EQ(state_lines(make(GetParam())), expected.str());
}

INSTANTIATE_TEST_SUITE_P(Each, TorchvisionNames,
                         ::testing::Values("resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0"),
                         [](const auto& name) { return std::string(name.param); });

TEST(Zoo, NumbersScopes) {
  const Graph graph = make("resnet18", {.image_size = 64});
  const auto op_at = [&](const char* scope) { return graph.node(graph.resolve(scope).node).op->name; };
  EXPECT_EQ(op_at("layer1.0.bn1"), "aten::batch_norm");
  EXPECT_EQ(op_at("layer1.0.relu@1"), "aten::relu");
  EXPECT_EQ(op_at("layer4"), "aten::relu");
  EXPECT_EQ(op_at("fc"), "aten::linear");
  EXPECT_EQ(graph.scope(*graph.find_scope("layer1.0.relu")).type, "torch.nn.modules.activation.ReLU");
  EXPECT_TRUE(graph.node(graph.resolve("layer1.0.relu").node).was_in_place);
}

TEST(Zoo, DrawsAsTorchvisionDoes) {
  const Graph graph = make("resnet18");
  const at::Tensor& conv = graph.parameter("layer4.1.conv2.weight").tensor;  // 512 x 512 x 3 x 3
  const double deviation = std::sqrt(2.0 / (512 * 9));
  EXPECT_NEAR(conv.std().item<double>(), deviation, 0.01 * deviation);
  EXPECT_NEAR(conv.mean().item<double>(), 0, 0.01 * deviation);
  const at::Tensor& fc = graph.parameter("fc.weight").tensor;
  EXPECT_LE(fc.abs().max().item<double>(), 1 / std::sqrt(512.0));
  EXPECT_GT(fc.abs().max().item<double>(), 0.99 / std::sqrt(512.0));
  const Graph mobile = make("mobilenet_v2");
  EXPECT_NEAR(mobile.parameter("classifier.1.weight").tensor.std().item<double>(), 0.01, 1e-4);
  EXPECT_EQ(mobile.parameter("classifier.1.bias").tensor.abs().max().item<double>(), 0);
}

TEST(Zoo, GrowsStochasticDepthWithDepth) {
  const Graph graph = make("efficientnet_b0", {.image_size = 64, .drop_path = 0.4});
  std::vector<double> rates;
  for (const graph::NodeId id : graph.order()) {
    const graph::Node& node = graph.node(id);
    if (node.op->is("limbeck::drop_path")) rates.push_back(*node.arguments[1].as_double());
  }
  ASSERT_EQ(rates.size(), 9U);  // blocks with a shortcut
  EXPECT_DOUBLE_EQ(rates.front(), 0.4 * 2 / 16);
  EXPECT_DOUBLE_EQ(rates.back(), 0.4 * 14 / 16);
  EXPECT_TRUE(std::is_sorted(rates.begin(), rates.end()));
}

TEST(Zoo, BuildsAnyDepthAndWidth) {
  EXPECT_EQ(num_parameters(make("cifar_resnet", {.depth = 20})),
            269'722 + 2'752);  // He's, and 1x1 convolutions with norms
  EXPECT_GT(num_parameters(make("cifar_resnet", {.depth = 56, .width = 0.5})), 0);
  EXPECT_THROW(make("cifar_resnet", {.depth = 21}), InvalidArgument);
  EXPECT_THROW(make("wide_resnet", {.depth = 20}), InvalidArgument);
}

void expect_refusal(const std::function<void()>& call, const std::string& expected) {
  try {
    call();
    ADD_FAILURE() << "accepted, expected: " << expected;
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what();
  }
}

TEST(Zoo, RefusesWhatItDoesNotHave) {
  expect_refusal([] { make("resnet19"); }, "there is no architecture 'resnet19'. Nearest: resnet18");
  expect_refusal([] { make("resnet18", {.depth = 20}); }, "resnet18 has no option 'depth'. It has: classes");
  expect_refusal([] { make("resnet_basic", {.blocks = {1, 1}}); }, "has 2 blocks and 3 widths");
  expect_refusal([] { make("resnet18", {.classes = 0}); }, "classes must lie in [1, 2^20], got 0");
  expect_refusal([] { make("mobilenet_v2", {.dropout = 1.0}); }, "dropout must lie in [0, 1), got 1");
  expect_refusal([] { parse_options({{"width", "wide"}}); }, "option 'width' must be a number, got 'wide'");
  expect_refusal([] { parse_options({{"classes", "1.5"}}); }, "option 'classes' must be an integer, got '1.5'");
  expect_refusal([] { parse_options({{"wdth", "1"}}); }, "there is no option 'wdth'. Nearest: width");
  expect_refusal([] { parse_options({{"blocks", "1,,1"}}); }, "option 'blocks' must be an integer, got ''");
  expect_refusal([] { parse_name("resnet18?classes"); }, "is not of the form key=value");
}

TEST(Zoo, ReadsOptionsFromText) {
  const ZooName name = parse_name("resnet_basic?widths=8,16,32&stem_stride=2");
  EXPECT_EQ(name.name, "resnet_basic");
  const ZooOptions options = parse_options(name.options, 9);
  EXPECT_EQ(options.widths, (std::vector<int64_t>{8, 16, 32}));
  EXPECT_EQ(options.stem_stride, 2);
  EXPECT_EQ(options.seed, 9U);
  EXPECT_TRUE(parse_name("resnet18").options.empty());
}

}  // namespace
}  // namespace limbeck::zoo
