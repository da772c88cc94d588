#include "limbeck/model/model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/lmb.h"
#include "limbeck/model/modes.h"
#include "tests/model/networks.h"

namespace limbeck {
namespace {

using graph::Builder;
using graph::Graph;
using graph::Mode;
using graph::ValueId;
using testing::is_equal;
using testing::message_of;
using testing::normal;
using testing::residual_network;
using testing::tensor_of;

std::vector<std::string> names_of(const std::vector<NamedTensor>& tensors) {
  std::vector<std::string> names;
  for (const NamedTensor& entry : tensors) names.push_back(entry.name);
  return names;
}

/// y = x W^T + x V, where "a.weight" and "b.weight" are one tensor W and "view" is its transpose V.
Graph tied_network() {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {graph::IntExpr::symbol("B"), 4});
  at::Tensor shared = normal({4, 4}, 1);
  const ValueId a = builder.parameter("a.weight", shared), b = builder.parameter("b.weight", shared);
  const ValueId view = builder.buffer("view", shared.detach().t());
  const ValueId y = builder.call("aten::linear", {builder.call("aten::linear", {x, a}), b});
  builder.outputs({{"out", builder.call("aten::linear", {y, view})}});
  return graph;
}

TEST(Model, RefusesAnUnsoundGraph) {
  Graph graph = residual_network();
  graph.eval_outputs[0].value = ValueId{graph.order().back(), 7};
  EXPECT_NE(message_of<InvalidArgument>([&] { Model model(graph); }).find("not sound"), std::string::npos);
}

TEST(Model, CopyIsAHandleAndCloneIsNot) {
  Model model(residual_network());
  Model handle = model, copy = model.clone();
  {
    const at::NoGradGuard no_grad;
    tensor_of(handle, "fc.bias").add_(1);
  }
  handle.train();
  EXPECT_TRUE(is_equal(tensor_of(model, "fc.bias"), tensor_of(handle, "fc.bias")));
  EXPECT_TRUE(model.is_training());
  EXPECT_FALSE(copy.is_training());
  EXPECT_FALSE(at::equal(tensor_of(copy, "fc.bias"), tensor_of(model, "fc.bias")));
  copy.train();
  copy(normal({2, 3, 8, 8}, 1));
  EXPECT_EQ(tensor_of(model, "bn1.num_batches_tracked").item<int64_t>(), 0);
}

TEST(Model, CloneKeepsModes) {
  Model model(residual_network());
  model.train();
  model.eval("bn1");
  Model copy = model.clone();
  copy(normal({2, 3, 8, 8}, 1));
  EXPECT_EQ(tensor_of(copy, "bn1.num_batches_tracked").item<int64_t>(), 0);
  EXPECT_EQ(tensor_of(copy, "bn2.num_batches_tracked").item<int64_t>(), 1);
}

TEST(Model, ParametersByPattern) {
  Model model(residual_network());
  EXPECT_EQ(names_of(model.named_parameters("^fc")), (std::vector<std::string>{"fc.weight", "fc.bias"}));
  EXPECT_EQ(names_of(model.named_parameters("bn[12]\\.bias$")), (std::vector<std::string>{"bn1.bias", "bn2.bias"}));
  EXPECT_EQ(model.parameters("^(?!fc)").size(), 6u);
  EXPECT_EQ(model.parameters().size(), 8u);
  EXPECT_EQ(model.named_buffers().size(), 6u);
  EXPECT_NE(message_of<InvalidArgument>([&] { model.parameters("fc.weigth"); }).find("fc.weight"), std::string::npos);
  EXPECT_NE(message_of<InvalidArgument>([&] { model.parameters("("); }).find("regular expression"), std::string::npos);
}

TEST(Model, TiedParametersAreOneTensor) {
  Model model(tied_network());
  EXPECT_EQ(names_of(model.named_parameters()), std::vector<std::string>{"a.weight"});
  EXPECT_EQ(names_of(model.named_parameters("^b")), std::vector<std::string>{"b.weight"});
  EXPECT_EQ(names_of(model.state_dict()), (std::vector<std::string>{"a.weight", "b.weight", "view"}));
  Model copy = model.clone();
  EXPECT_TRUE(tensor_of(copy, "a.weight").is_same(tensor_of(copy, "b.weight")));
  EXPECT_TRUE(tensor_of(copy, "view").is_alias_of(tensor_of(copy, "a.weight")));
  EXPECT_FALSE(tensor_of(copy, "view").is_alias_of(tensor_of(model, "a.weight")));
}

TEST(Model, FreezeAndZeroGrad) {
  Model model(residual_network());
  EXPECT_EQ(model.freeze("^conv1"), 1u);
  model(normal({2, 3, 8, 8}, 1)).sum().backward();
  EXPECT_FALSE(tensor_of(model, "conv1.weight").grad().defined());
  EXPECT_TRUE(tensor_of(model, "conv2.weight").grad().defined());
  model.zero_grad();
  EXPECT_FALSE(tensor_of(model, "conv2.weight").grad().defined());
}

TEST(Model, StateDictRoundTrip) {
  Model model(residual_network(1)), other(residual_network(2));
  const at::Tensor x = normal({2, 3, 8, 8}, 1);
  const at::Tensor kept = tensor_of(other, "fc.weight");
  EXPECT_FALSE(at::equal(model(x), other(x)));
  other.load_state_dict(model.state_dict());
  EXPECT_TRUE(is_equal(model(x), other(x)));
  EXPECT_TRUE(tensor_of(other, "fc.weight").is_same(kept));
  EXPECT_TRUE(tensor_of(other, "fc.weight").requires_grad());
}

TEST(Model, LoadStateDictIsStrictAndChangesNothingOnFailure) {
  Model model(residual_network(1)), other(residual_network(2));
  std::vector<NamedTensor> given = other.state_dict();
  given[0].name = "conv1.weigth";
  given.back().tensor = normal({7}, 1);
  const at::Tensor before = tensor_of(model, "conv2.weight").clone();
  const std::string message = message_of<InvalidArgument>([&] { model.load_state_dict(given); });
  EXPECT_NE(message.find("'conv1.weight' (nearest: conv1.weigth)"), std::string::npos) << message;
  EXPECT_NE(message.find("'fc.bias'"), std::string::npos) << message;
  EXPECT_TRUE(is_equal(tensor_of(model, "conv2.weight"), before));
}

TEST(Model, StateDictLeavesOutBuffersThatAreNotPersistent) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {2});
  const ValueId kept = builder.buffer("kept", at::ones({2})), left = builder.buffer("left", at::ones({2}), false);
  builder.outputs({{"out", builder.call("aten::add.Tensor", {builder.call("aten::add.Tensor", {x, kept}), left})}});
  Model model(std::move(graph));
  EXPECT_EQ(names_of(model.state_dict()), std::vector<std::string>{"kept"});
  EXPECT_EQ(model.named_buffers().size(), 2u);
}

TEST(Model, LaterModesWin) {
  Model model(residual_network());
  model.train("bn1", true);
  EXPECT_FALSE(model.is_training());
  model(normal({2, 3, 8, 8}, 1));
  EXPECT_EQ(tensor_of(model, "bn1.num_batches_tracked").item<int64_t>(), 1);
  model.eval();
  model(normal({2, 3, 8, 8}, 1));
  EXPECT_EQ(tensor_of(model, "bn1.num_batches_tracked").item<int64_t>(), 1);
  model.train();
  model.eval("bn1");
  model.train("bn1", true);
  model(normal({2, 3, 8, 8}, 1));
  EXPECT_EQ(tensor_of(model, "bn1.num_batches_tracked").item<int64_t>(), 2);
  EXPECT_NE(message_of<InvalidArgument>([&] { model.eval("bn3"); }).find("bn1"), std::string::npos);
}

TEST(Model, AssumptionsMustBeAccepted) {
  Graph graph = residual_network();
  graph.assumptions.push_back({Mode::train, *graph.find_scope("fc"), "dropout may have been lost"});
  Model model(std::move(graph));
  const at::Tensor x = normal({2, 3, 8, 8}, 1);
  model(x);
  model.train();
  const std::string message = message_of<Unsupported>([&] { model(x); });
  EXPECT_NE(message.find("fc: dropout may have been lost"), std::string::npos) << message;
  model.eval("fc");
  model(x);  // the scope in question runs in the mode that is known
  model.train();
  model.accept_assumptions(Mode::train);
  model(x);
}

TEST(Model, OwnModesShareTensorsAndWhatWasAccepted) {
  Graph graph = residual_network();
  graph.assumptions.push_back({Mode::eval, 0, "eval was not seen"});
  Model model(std::move(graph));
  const at::Tensor x = normal({2, 3, 8, 8}, 1);
  EXPECT_THROW(model.with_own_modes()(x), Unsupported);
  model.accept_assumptions(Mode::eval);
  const at::Tensor expected = model(x);
  model.train();
  Model other = model.with_own_modes();
  EXPECT_FALSE(other.is_training());
  EXPECT_TRUE(is_equal(other(x), expected));
  EXPECT_TRUE(tensor_of(other, "fc.weight").is_same(tensor_of(model, "fc.weight")));
  other.train();
  other.eval();
  EXPECT_TRUE(model.is_training());
}

TEST(Model, RefusalOfAnAssumptionSaysHowToAcceptIt) {
  Graph graph = residual_network();
  graph.assumptions.push_back({Mode::train, 0, "train was not seen"});
  Model model(std::move(graph));
  model.train();
  const std::string message = message_of<Unsupported>([&] { model(normal({2, 3, 8, 8}, 1)); });
  for (const char* way : {"--accept train", "`accept: train`", "accept_assumptions(Mode::train)"})
    EXPECT_NE(message.find(way), std::string::npos) << message;
}

TEST(Modes, AreParsedByName) {
  for (const Mode mode : {Mode::none, Mode::train, Mode::eval, Mode::both})
    EXPECT_EQ(parse_modes(graph::mode_name(mode)), mode);
  EXPECT_NE(message_of<InvalidArgument>([] { parse_modes("test"); }).find("none, train, eval or both"),
            std::string::npos);
}

TEST(Model, SetGraphDropsPreparedRuns) {
  Model model(residual_network());
  const at::Tensor x = normal({2, 3, 8, 8}, 1);
  const at::Tensor before = model(x);
  Graph changed = model.graph();
  const ValueId negated = Builder(changed).call("aten::neg", {*changed.eval_outputs[0].value.value()});
  changed.eval_outputs[0].value = negated;
  model.set_graph(std::move(changed));
  EXPECT_TRUE(is_equal(model(x), -before));
}

TEST(Model, SavesAndLoads) {
  Model model(residual_network());
  const core::TemporaryDirectory folder;
  const std::filesystem::path path = folder.path() / "model.lmb";
  model.save(path.string());
  Model loaded(graph::load_lmb(path));
  const at::Tensor x = normal({2, 3, 8, 8}, 1);
  EXPECT_TRUE(is_equal(loaded(x), model(x)));
  loaded.train();
  loaded(x).sum().backward();
  EXPECT_TRUE(tensor_of(loaded, "conv1.weight").grad().defined());
}

TEST(Outputs, LogitsPreferTheirNameThenAMatrix) {
  Outputs outputs;
  EXPECT_THROW(outputs.logits(), InvalidArgument);
  outputs.tensors = {{"loss", at::zeros({})}, {"scores", at::zeros({2, 3})}, {"aux", at::zeros({2, 3})}};
  EXPECT_TRUE(outputs.logits().is_same(outputs["scores"]));
  outputs.tensors.push_back({"logits", at::zeros({4})});
  EXPECT_TRUE(outputs.logits().is_same(outputs["logits"]));
  EXPECT_NE(message_of<InvalidArgument>([&] { outputs["score"]; }).find("scores"), std::string::npos);
  EXPECT_NE(message_of<InvalidArgument>([&] { outputs.tap("fc"); }).find("none"), std::string::npos);
}

/// A run's mode is its own: the handle keeps its mode, scopes keep theirs.
TEST(Model, RunsInTheModeOfTheRun) {
  Model model(residual_network());
  model.eval("bn1");
  const at::Tensor x = normal({2, 3, 8, 8}, 1);
  const at::Tensor frozen = tensor_of(model, "bn1.running_mean").clone();
  const at::Tensor live = tensor_of(model, "bn2.running_mean").clone();
  model.forward(x, {.mode = graph::Mode::train});
  EXPECT_FALSE(model.is_training());
  EXPECT_TRUE(is_equal(tensor_of(model, "bn1.running_mean"), frozen));
  EXPECT_FALSE(at::equal(tensor_of(model, "bn2.running_mean"), live));
}

TEST(Model, RevisionChangesWithTheGraph) {
  Model model(residual_network());
  const uint64_t before = model.revision();
  model.train();
  EXPECT_EQ(model.revision(), before);
  model.replace_head("fc", {.classes = 3});
  EXPECT_NE(model.revision(), before);
}

/// What one model computed under autocast is the next one's input there, and nowhere else.
TEST(Model, TakesAutocastsTypeUnderAutocast) {
  Model model(residual_network());
  const at::Tensor x = normal({2, 3, 8, 8}, 1).to(at::kBFloat16);
  EXPECT_THROW(model(x), InvalidArgument);
  const Autocast autocast(at::kBFloat16);
  EXPECT_EQ(model(x).sizes(), (std::vector<int64_t>{2, 5}));
}

}  // namespace
}  // namespace limbeck
