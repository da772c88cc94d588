#include "limbeck/model/interpreter.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
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
using testing::observations;
using testing::residual_by_hand;
using testing::residual_network;
using testing::single_input_graph;
using testing::tensor_of;

const graph::IntExpr kBatch = graph::IntExpr::symbol("B");

ValueId call(Graph& graph, std::string_view op, std::vector<graph::Argument> arguments) {
  return Builder(graph).call(op, std::move(arguments));
}

ValueId call_in_place(Graph& graph, std::string_view op, std::vector<graph::Argument> arguments) {
  const ValueId value = call(graph, op, std::move(arguments));
  graph.edit(value.node).was_in_place = true;
  return value;
}

std::vector<NamedTensor> copies_of(const std::vector<NamedTensor>& tensors) {
  std::vector<NamedTensor> copies;
  for (const NamedTensor& entry : tensors) copies.push_back({entry.name, entry.tensor.clone()});
  return copies;
}

void expect_equal(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(is_equal(a[i].tensor, b[i].tensor)) << a[i].name;
}

// --- the bits of eager ---------------------------------------------------------------------------------------------

TEST(Interpreter, EvalEqualsTheSameCallsByHand) {
  Model model(residual_network());
  const at::NoGradGuard no_grad;
  for (const int64_t batch : {1, 2, 7}) {
    const at::Tensor x = normal({batch, 3, 8, 8}, 3);
    EXPECT_TRUE(is_equal(model(x), residual_by_hand(model, x, false))) << batch;
  }
}

TEST(Interpreter, TrainEqualsTheSameCallsByHandWithGradientsAndBuffers) {
  Model model(residual_network());
  Model by_hand = model.clone();
  model.train();
  for (uint64_t step = 0; step < 3; ++step) {
    const at::Tensor x = normal({4, 3, 8, 8}, 50 + step);
    at::manual_seed(step);
    const at::Tensor y = model(x);
    at::manual_seed(step);
    const at::Tensor z = residual_by_hand(by_hand, x, true);
    ASSERT_TRUE(is_equal(y, z));
    y.square().sum().backward();
    z.square().sum().backward();
  }
  expect_equal(model.named_buffers(), by_hand.named_buffers());
  EXPECT_EQ(tensor_of(model, "bn1.num_batches_tracked").item<int64_t>(), 3);
  const auto parameters = model.named_parameters(), others = by_hand.named_parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    ASSERT_TRUE(parameters[i].tensor.grad().defined()) << parameters[i].name;
    EXPECT_TRUE(is_equal(parameters[i].tensor.grad(), others[i].tensor.grad())) << parameters[i].name;
  }
}

TEST(Interpreter, EvalWritesNoBuffer) {
  Model model(residual_network());
  const auto before = copies_of(model.named_buffers());
  model(normal({4, 3, 8, 8}, 3));
  expect_equal(model.named_buffers(), before);
}

TEST(Interpreter, ChannelsLastEqualsTheSameCallsByHand) {
  Model model(residual_network());
  model.to(at::MemoryFormat::ChannelsLast);
  ASSERT_TRUE(tensor_of(model, "conv2.weight").is_contiguous(at::MemoryFormat::ChannelsLast));
  const at::NoGradGuard no_grad;
  const at::Tensor x = normal({4, 3, 8, 8}, 3).contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(is_equal(model(x), residual_by_hand(model, x, false)));
}

TEST(Interpreter, DropPathDrawsAsTheLibrariesDo) {
  Model model(single_input_graph({kBatch, 6}, [](Graph& graph, ValueId x) {
    return call(graph, "limbeck::drop_path", {x, 0.5, "bernoulli", "noise", true, false});
  }));
  const at::Tensor x = normal({16, 6}, 1);
  EXPECT_TRUE(is_equal(model(x), x));
  model.train();
  at::manual_seed(11);
  const at::Tensor y = model(x);
  at::manual_seed(11);
  EXPECT_TRUE(is_equal(y, x * at::empty({16, 1}).bernoulli_(0.5).div_(0.5)));
}

TEST(Interpreter, AttentionDropsOnlyInTraining) {
  Model model(single_input_graph({kBatch, 2, 4, 8}, [](Graph& graph, ValueId x) {
    return call(graph, "aten::scaled_dot_product_attention", {x, x, x, nullptr, 0.5});
  }));
  const at::Tensor x = normal({2, 2, 4, 8}, 1);
  EXPECT_TRUE(is_equal(model(x), at::scaled_dot_product_attention(x, x, x)));
  model.train();
  at::manual_seed(5);
  const at::Tensor y = model(x);
  at::manual_seed(5);
  EXPECT_TRUE(is_equal(y, at::scaled_dot_product_attention(x, x, x, {}, 0.5)));
}

// --- modes ---------------------------------------------------------------------------------------------------------

TEST(Interpreter, FrozenScopeUsesAndKeepsItsStatistics) {
  Model model(residual_network());
  model.train();
  model.eval("bn1");
  model.eval("dropout");
  const at::Tensor mean1 = tensor_of(model, "bn1.running_mean").clone();
  const at::Tensor mean2 = tensor_of(model, "bn2.running_mean").clone();
  model(normal({4, 3, 8, 8}, 3));
  EXPECT_TRUE(is_equal(tensor_of(model, "bn1.running_mean"), mean1));
  EXPECT_EQ(tensor_of(model, "bn1.num_batches_tracked").item<int64_t>(), 0);
  EXPECT_FALSE(at::equal(tensor_of(model, "bn2.running_mean"), mean2));
  EXPECT_EQ(tensor_of(model, "bn2.num_batches_tracked").item<int64_t>(), 1);
}

TEST(Interpreter, PinnedFlagDoesNotFollowTheMode) {
  Graph graph = residual_network();
  for (const graph::NodeId id : graph.order()) {
    if (graph.node(id).op->is("aten::batch_norm")) graph.edit(id).pinned_flags = 1;
  }
  Model model(std::move(graph));
  const at::Tensor x = normal({4, 3, 8, 8}, 3);
  model.train();
  model.eval("dropout");
  EXPECT_TRUE(is_equal(model(x), residual_by_hand(model, x, false)));
}

TEST(Interpreter, BatchNormWithoutStatisticsIsNeverSwitched) {
  Model model(single_input_graph({kBatch, 4, 5}, [](Graph& graph, ValueId x) {
    return call(graph, "aten::batch_norm",
                {x, graph::None{}, graph::None{}, graph::None{}, graph::None{}, true, 0.1, 1e-5, true});
  }));
  const at::Tensor x = normal({3, 4, 5}, 1);
  EXPECT_TRUE(is_equal(model(x), at::batch_norm(x, {}, {}, {}, {}, true, 0.1, 1e-5, true)));
}

/// A variance of one value is none; ATen would make the running variance NaN of it.
TEST(Interpreter, BatchNormRefusesToTrainOnOneValuePerChannel) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {kBatch, 4});
  const ValueId mean = builder.buffer("mean", at::zeros({4})), variance = builder.buffer("var", at::ones({4}));
  builder.outputs({{"out", builder.call("aten::batch_norm", {x, {}, {}, mean, variance, false, 0.1, 1e-5, true})}});
  Model model(graph);
  model.train();
  for (const Fusion fusion : {Fusion::none, Fusion::training}) {
    const std::string message = message_of<InvalidArgument>([&] {
      model.forward(normal({1, 4}, 1), {.fusion = fusion});
    });
    EXPECT_NE(message.find("expected more than 1 value per channel"), std::string::npos) << message;
  }
  EXPECT_TRUE(is_equal(tensor_of(model, "var"), at::ones({4})));
  model(normal({2, 4}, 1));
  model.eval();
  model(normal({1, 4}, 1));
}

TEST(Interpreter, ByModeRunsOnlyTheSideOfItsScope) {
  testing::reset_observations();
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {kBatch, 4});
  const ValueId doubled = builder.call("aten::mul.Tensor", {x, 2});
  const ValueId negated = builder.call("aten::neg", {x});
  const ValueId either = builder.call("limbeck::by_mode", {doubled, negated});
  builder.outputs({{"out", builder.call("aten::add.Tensor", {either, 1})}});
  Model model(std::move(graph));
  const at::Tensor input = normal({2, 4}, 1);
  EXPECT_TRUE(is_equal(model(input), -input + 1));
  model.train();
  EXPECT_TRUE(is_equal(model(input), input * 2 + 1));
}

TEST(Interpreter, OutputsFollowTheRootsMode) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {kBatch, 4});
  const ValueId aux = builder.call("aten::neg", {x});
  builder.outputs({{"out", x}});
  graph.train_outputs = {{x, "out"}, {aux, "aux"}, {graph::None{}, "nothing"}, {kBatch * 4, "count"}};
  graph.train_tree = {.kind = "tuple", .type = {}, .keys = {}, .children = std::vector<graph::TreeSpec>(4)};
  Model model(std::move(graph));
  const at::Tensor input = normal({2, 4}, 1);
  EXPECT_EQ(model.forward(input).tensors.size(), 1u);
  model.train();
  const Outputs outputs = model.forward(input);
  ASSERT_EQ(outputs.tensors.size(), 4u);
  EXPECT_TRUE(is_equal(outputs["aux"], -input));
  EXPECT_FALSE(outputs["nothing"].defined());
  EXPECT_EQ(outputs["count"].item<int64_t>(), 8);
}

// --- taps ----------------------------------------------------------------------------------------------------------

TEST(Taps, ComeBackWithGradients) {
  Model model(residual_network());
  const at::Tensor x = normal({2, 3, 8, 8}, 3);
  const Outputs outputs = model.forward(x, {.taps = {"bn1", "relu@1", "fc"}});
  const at::Tensor y = at::conv2d(x, tensor_of(model, "conv1.weight"), {}, 1, 1);
  EXPECT_TRUE(
      is_equal(outputs.tap("bn1"), at::batch_norm(y, tensor_of(model, "bn1.weight"), tensor_of(model, "bn1.bias"),
                                                  tensor_of(model, "bn1.running_mean"),
                                                  tensor_of(model, "bn1.running_var"), false, 0.1, 1e-5, true)));
  EXPECT_TRUE(is_equal(outputs.tap("fc"), outputs.logits()));
  outputs.tap("bn1").sum().backward();
  EXPECT_TRUE(tensor_of(model, "conv1.weight").grad().defined());
  EXPECT_FALSE(tensor_of(model, "conv2.weight").grad().defined());
}

TEST(Taps, ChangeNoOutput) {
  Model model(residual_network());
  const at::Tensor x = normal({2, 3, 8, 8}, 3);
  const at::Tensor plain = model(x);
  EXPECT_TRUE(is_equal(model.forward(x, {.taps = {"conv1", "bn1", "relu", "bn2", "relu@1"}}).logits(), plain));
}

TEST(Taps, AreNotOverwrittenInPlace) {
  Model model(residual_network());
  const Outputs outputs = model.forward(normal({2, 3, 8, 8}, 3), {.taps = {"bn1", "relu", "bn2"}});
  EXPECT_LT(outputs.tap("bn1").min().item<float>(), 0.0F);  // a relu in place would have cut it
  EXPECT_TRUE(is_equal(outputs.tap("bn1").relu(), outputs.tap("relu")));
  EXPECT_LT(outputs.tap("bn2").min().item<float>(), 0.0F);
}

TEST(Taps, NameValuesInputsAndParameters) {
  Model model(residual_network());
  const at::Tensor x = normal({2, 3, 8, 8}, 3);
  const Outputs outputs = model.forward(x, {.taps = {"%x", "%fc.bias", "%mean"}});
  EXPECT_TRUE(is_equal(outputs.tap("%x"), x));
  EXPECT_TRUE(is_equal(outputs.tap("%fc.bias"), tensor_of(model, "fc.bias")));
  EXPECT_EQ(outputs.tap("%mean").sizes(), (std::vector<int64_t>{2, 6}));
}

TEST(Taps, RefuseUnknownNamesWithTheNearest) {
  Model model(residual_network());
  const at::Tensor x = normal({2, 3, 8, 8}, 3);
  EXPECT_NE(message_of<InvalidArgument>([&] { model.forward(x, {.taps = {"conv3"}}); }).find("conv"),
            std::string::npos);
  EXPECT_NE(message_of<InvalidArgument>([&] { model.forward(x, {.taps = {"%nothing"}}); }).find("%nothing"),
            std::string::npos);
}

// --- state ---------------------------------------------------------------------------------------------------------

TEST(StateUpdates, DiscardedOnesLeaveBuffersAndGiveTheSameOutput) {
  Model model(residual_network());
  model.train();
  const auto before = copies_of(model.named_buffers());
  const at::Tensor x = normal({4, 3, 8, 8}, 3);
  at::manual_seed(1);
  const at::Tensor discarded = model.forward(x, {.state_updates = StateUpdates::discard}).logits();
  expect_equal(model.named_buffers(), before);
  at::manual_seed(1);
  EXPECT_TRUE(is_equal(model(x), discarded));
  EXPECT_FALSE(at::equal(tensor_of(model, "bn1.running_mean"), before[0].tensor));
}

TEST(StateUpdates, SecondCallOfAModuleSeesTheFirst) {
  Graph graph;
  Builder builder(graph);
  ValueId x = builder.input("x", {kBatch, 4, 5});
  const ValueId mean = builder.buffer("mean", normal({4}, 1)), variance = builder.buffer("var", at::ones({4}));
  for (int i = 0; i < 2; ++i)
    x = builder.call("aten::batch_norm", {x, graph::None{}, graph::None{}, mean, variance, true, 0.1, 1e-5, true});
  builder.outputs({{"out", x}});
  Model model(std::move(graph));
  model.train();
  const at::Tensor input = normal({3, 4, 5}, 2) + 1;
  at::Tensor by_hand_mean = tensor_of(model, "mean").clone(), by_hand_var = tensor_of(model, "var").clone();
  at::Tensor y = input;
  for (int i = 0; i < 2; ++i) y = at::batch_norm(y, {}, {}, by_hand_mean, by_hand_var, true, 0.1, 1e-5, true);
  EXPECT_TRUE(is_equal(model(input), y));
  EXPECT_TRUE(is_equal(tensor_of(model, "mean"), by_hand_mean));
  EXPECT_TRUE(is_equal(tensor_of(model, "var"), by_hand_var));
}

TEST(StateUpdates, BuffersMayExchangeTheirValues) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {kBatch, 2});
  const ValueId a = builder.buffer("a", at::zeros({2})), b = builder.buffer("b", at::ones({2}));
  graph.state_writes = {{.buffer = "a", .value = b}, {.buffer = "b", .value = a}};
  builder.outputs({{"out", builder.call("aten::add.Tensor", {x, a})}});
  Model model(std::move(graph));
  model(normal({1, 2}, 1));
  EXPECT_TRUE(is_equal(tensor_of(model, "a"), at::ones({2})));
  EXPECT_TRUE(is_equal(tensor_of(model, "b"), at::zeros({2})));
}

/// prev = self.ema; self.ema = x * 0.5; return prev, prev[0]
TEST(StateUpdates, OutputsKeepTheValueBeforeTheWrite) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {2});
  const ValueId before = builder.buffer("ema", at::tensor({1.0F, 2.0F}));
  graph.state_writes = {{.buffer = "ema", .value = builder.call("aten::mul.Tensor", {x, 0.5})}};
  builder.outputs({{"before", before}, {"first", builder.call("aten::slice.Tensor", {before, 0, 0, 1, 1})}});
  Model model(std::move(graph));
  for (const bool with_gradients : {true, false}) {
    const at::AutoGradMode mode(with_gradients);
    const at::Tensor old = tensor_of(model, "ema").clone(), input = normal({2}, with_gradients);
    const Outputs outputs = model.forward(input, {.taps = {"%ema"}});
    EXPECT_TRUE(is_equal(outputs["before"], old));
    EXPECT_TRUE(is_equal(outputs["first"], old.slice(0, 0, 1)));
    EXPECT_TRUE(is_equal(outputs.tap("%ema"), old));
    EXPECT_TRUE(is_equal(tensor_of(model, "ema"), input * 0.5));
  }
}

/// y = w * self.ema; self.ema = y: backward needs the value before.
TEST(StateUpdates, BackwardSeesTheValueBeforeTheWrite) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {2});
  const ValueId weight = builder.parameter("weight", normal({2}, 1));
  const ValueId ema = builder.buffer("ema", at::tensor({3.0F, 4.0F}));
  const ValueId product = builder.call("aten::mul.Tensor", {weight, ema});
  graph.state_writes = {{.buffer = "ema", .value = x}};
  builder.outputs({{"out", product}});
  Model model(std::move(graph));
  model(normal({2}, 2)).sum().backward();
  EXPECT_TRUE(is_equal(tensor_of(model, "weight").grad(), at::tensor({3.0F, 4.0F})));
  EXPECT_TRUE(is_equal(tensor_of(model, "ema"), normal({2}, 2)));
}

TEST(StateUpdates, ViewsOfAWrittenBufferKeepItsValueInTheRun) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {2, 2});
  at::Tensor table = normal({2, 2}, 1);
  builder.buffer("table", table);
  const ValueId turned = builder.buffer("turned", table.t());
  graph.state_writes = {{.buffer = "table", .value = x}};
  builder.outputs({{"out", turned}});
  Model model(std::move(graph));
  const at::Tensor old = table.clone(), input = normal({2, 2}, 2);
  EXPECT_TRUE(is_equal(model(input), old.t()));
  EXPECT_TRUE(is_equal(tensor_of(model, "turned"), input.t()));
}

TEST(StateUpdates, FailedRunWritesNothing) {
  testing::reset_observations();
  Graph graph = residual_network();
  const ValueId last = call(graph, "limbeck_test::observe", {*graph.eval_outputs[0].value.value()});
  graph.train_outputs[0].value = graph.eval_outputs[0].value = last;
  Model model(std::move(graph));
  model.train();
  const auto before = copies_of(model.named_buffers());
  observations().fails = true;
  const std::string message = message_of<InvalidArgument>([&] { model(normal({4, 3, 8, 8}, 3)); });
  EXPECT_NE(message.find("limbeck_test::observe"), std::string::npos) << message;
  EXPECT_NE(message.find("told to fail"), std::string::npos) << message;
  expect_equal(model.named_buffers(), before);
  observations().fails = false;
  model(normal({4, 3, 8, 8}, 3));
  EXPECT_EQ(tensor_of(model, "bn2.num_batches_tracked").item<int64_t>(), 1);
}

// --- memory and in-place reruns --------------------------------------------------------------------------------------

Graph chain_of_observers(int length) {
  return single_input_graph({kBatch, 4}, [&](Graph& graph, ValueId x) {
    for (int i = 0; i < length; ++i) x = call(graph, "limbeck_test::observe", {x});
    return x;
  });
}

TEST(Memory, ValuesAreFreedAfterTheirLastUse) {
  const at::NoGradGuard no_grad;
  Model model(chain_of_observers(6));
  testing::reset_observations();
  model(normal({2, 4}, 1));
  EXPECT_EQ(observations().live, (std::vector<std::size_t>{0, 1, 1, 1, 1, 1}));  // the op's own input alone
}

TEST(Memory, TappedValuesLiveOn) {
  const at::NoGradGuard no_grad;
  Model model(chain_of_observers(4));
  testing::reset_observations();
  const std::string tap = "%" + model.graph().name({model.graph().order()[1], 0});
  const Outputs outputs = model.forward(normal({2, 4}, 1), {.taps = {tap}});
  EXPECT_EQ(observations().live, (std::vector<std::size_t>{0, 1, 2, 2}));
}

TEST(Memory, NothingIsKeptAfterARun) {
  const at::NoGradGuard no_grad;
  Model model(chain_of_observers(3));
  testing::reset_observations();
  model(normal({2, 4}, 1));
  model(normal({2, 4}, 1));
  EXPECT_EQ(observations().live[3], 0u);
}

TEST(Memory, ValueUsedTwiceByItsLastUserIsFreed) {
  const at::NoGradGuard no_grad;
  Model model(single_input_graph({kBatch, 4}, [](Graph& graph, ValueId x) {
    const ValueId a = call(graph, "limbeck_test::observe", {x});
    const ValueId squared = call(graph, "aten::mul.Tensor", {a, a});
    const ValueId joined = call(graph, "aten::cat", {std::vector<ValueId>{squared, squared}, 0});
    return call(graph, "limbeck_test::observe", {joined});
  }));
  testing::reset_observations();
  const at::Tensor x = normal({2, 4}, 1);
  const at::Tensor squared = (x + 1) * (x + 1);
  EXPECT_TRUE(is_equal(model(x), at::cat({squared, squared}) + 1));
  EXPECT_EQ(observations().live[1], 0u);
}

/// observe -> relu -> observe, where Python's relu was in place.
Graph observed_relu() {
  return single_input_graph({kBatch, 4}, [](Graph& graph, ValueId x) {
    const ValueId a = call(graph, "limbeck_test::observe", {x});
    return call(graph, "limbeck_test::observe", {call_in_place(graph, "aten::relu", {a})});
  });
}

bool ran_in_place() { return observations().outputs[0] == observations().inputs[1]; }

TEST(InPlace, RunsAgainWhereTheValueIsDead) {
  Model model(observed_relu());
  const at::Tensor x = normal({2, 4}, 1), copy = x.clone();
  for (const bool with_gradients : {false, true}) {
    const at::AutoGradMode mode(with_gradients);
    testing::reset_observations();
    EXPECT_TRUE(is_equal(model(x), (x + 1).relu() + 1));
    EXPECT_TRUE(ran_in_place());
  }
  EXPECT_TRUE(is_equal(x, copy));
}

TEST(InPlace, NeverWritesATappedValue) {
  Model model(observed_relu());
  testing::reset_observations();
  const at::Tensor x = normal({2, 4}, 1);
  const std::string tap = "%" + model.graph().name({model.graph().order()[1], 0});
  EXPECT_TRUE(is_equal(model.forward(x, {.taps = {tap}}).tap(tap), x + 1));
  EXPECT_FALSE(ran_in_place());
}

TEST(InPlace, NeverWritesInputsOrParameters) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {kBatch, 4});
  const ValueId weight = builder.parameter("weight", normal({4}, 2));
  const ValueId a = call_in_place(graph, "aten::neg", {x}), b = call_in_place(graph, "aten::neg", {weight});
  builder.outputs({{"out", builder.call("aten::add.Tensor", {a, b})}});
  Model model(std::move(graph));
  const at::NoGradGuard no_grad;
  const at::Tensor input = normal({2, 4}, 1), input_copy = input.clone();
  const at::Tensor weight_copy = tensor_of(model, "weight").clone();
  EXPECT_TRUE(is_equal(model(input), -input_copy + -weight_copy));
  EXPECT_TRUE(is_equal(input, input_copy));
  EXPECT_TRUE(is_equal(tensor_of(model, "weight"), weight_copy));
}

TEST(InPlace, SeesThroughKernelsThatReturnTheirInput) {
  Model model(single_input_graph({kBatch, 4}, [](Graph& graph, ValueId x) {
    const ValueId a = call(graph, "aten::mul.Tensor", {x, 2});
    const ValueId same = call(graph, "aten::dropout", {a, 0.5, false});  // returns `a` itself in eval mode
    const ValueId b = call_in_place(graph, "aten::neg", {same});
    return call(graph, "aten::sub.Tensor", {b, a});
  }));
  const at::Tensor x = normal({2, 4}, 1);
  EXPECT_TRUE(is_equal(model(x), -(x * 2) - x * 2));
}

TEST(InPlace, NeverWritesThroughAView) {
  Model model(single_input_graph({kBatch, 4}, [](Graph& graph, ValueId x) {
    const ValueId a = call(graph, "aten::mul.Tensor", {x, 2});
    const ValueId view = call(graph, "aten::slice.Tensor", {a, 1, 0, 2, 1});
    const ValueId b = call_in_place(graph, "aten::neg", {view});
    return call(graph, "aten::cat", {std::vector<ValueId>{b, a}, 1});
  }));
  const at::Tensor x = normal({2, 4}, 1);
  EXPECT_TRUE(is_equal(model(x), at::cat({-(x * 2).slice(1, 0, 2), x * 2}, 1)));
}

TEST(InPlace, KeepsWhatBackwardNeeds) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {kBatch, 4});
  const ValueId weight = builder.parameter("weight", normal({4}, 2));
  const ValueId gate = builder.call("aten::sigmoid", {builder.call("aten::mul.Tensor", {x, weight})});
  const ValueId scaled = call_in_place(graph, "aten::mul.Tensor", {gate, 3});  // sigmoid's backward needs its output
  builder.outputs({{"out", scaled}});
  Model model(std::move(graph));
  const at::Tensor input = normal({2, 4}, 1);
  model(input).sum().backward();
  at::Tensor by_hand = tensor_of(model, "weight").detach().clone().requires_grad_();
  ((input * by_hand).sigmoid() * 3).sum().backward();
  EXPECT_TRUE(is_equal(tensor_of(model, "weight").grad(), by_hand.grad()));
}

TEST(InPlace, KeepsTheTypeThatPythonHad) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {kBatch, 4});
  const ValueId low = builder.call("aten::to.dtype", {x, at::kBFloat16});
  const ValueId sum = call_in_place(graph, "aten::add.Tensor", {low, x});  // bf16 += f32 stays bf16
  builder.outputs({{"out", sum}, {"low", low}});
  Model model(std::move(graph));
  const at::Tensor input = normal({2, 4}, 1);
  const Outputs outputs = model.forward(input);
  EXPECT_TRUE(is_equal(outputs["out"], input.to(at::kBFloat16).add_(input)));
  EXPECT_TRUE(is_equal(outputs["low"], input.to(at::kBFloat16)));
}

// --- regions, lists, sizes -------------------------------------------------------------------------------------------

TEST(Regions, SwitchGradientsOffForTheirNodesOnly) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {kBatch, 4});
  const ValueId weight = builder.parameter("weight", normal({4}, 2));
  const ValueId inside = builder.call("aten::mul.Tensor", {x, weight});
  const ValueId outside = builder.call("aten::mul.Tensor", {x, weight});
  builder.outputs({{"inside", inside}, {"outside", outside}});
  graph.edit(inside.node).region = graph.add_region({.grad_enabled = false, .autocast = {}});
  Model model(std::move(graph));
  const Outputs outputs = model.forward(normal({2, 4}, 1));
  EXPECT_FALSE(outputs["inside"].requires_grad());
  EXPECT_TRUE(outputs["outside"].requires_grad());
}

TEST(Regions, AreLeftWhenANodeFails) {
  testing::reset_observations();
  Graph graph =
      single_input_graph({kBatch, 4}, [](Graph& g, ValueId x) { return call(g, "limbeck_test::observe", {x}); });
  graph.edit(graph.order().back()).region =
      graph.add_region({.grad_enabled = false, .autocast = graph::Region::Autocast{.enabled = true}});
  Model model(std::move(graph));
  observations().fails = true;
  EXPECT_THROW(model(normal({2, 4}, 1)), InvalidArgument);
  EXPECT_TRUE(c10::GradMode::is_enabled());
}

TEST(Regions, OneThatLibtorchRefusesNamesItsFirstNode) {
  Graph graph = single_input_graph({kBatch, 4}, [](Graph& g, ValueId x) { return call(g, "aten::neg", {x}); });
  graph.edit(graph.order().back()).region = graph.add_region(
      {.grad_enabled = {}, .autocast = graph::Region::Autocast{.device_type = c10::DeviceType::FPGA, .enabled = true}});
  Model model(std::move(graph));
  const std::string message = message_of<InvalidArgument>([&] { model(normal({2, 4}, 1)); });
  EXPECT_NE(message.find("aten::neg"), std::string::npos) << message;
}

TEST(Lists, AreTakenApartAndPutTogether) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {kBatch, 6});
  const std::vector<ValueId> parts = builder.call_all("aten::chunk", {x, 3, 1});
  ASSERT_EQ(parts.size(), 3u);
  const ValueId weight = builder.parameter("weight", normal({1, 6}, 2));
  const ValueId joined = builder.call("aten::cat", {std::vector<ValueId>{parts[2], parts[0]}, 1});
  const ValueId tall = builder.call("aten::cat", {std::vector<ValueId>{weight, x}, 0});
  builder.outputs({{"joined", joined}, {"tall", tall}});
  Model model(std::move(graph));
  const at::Tensor input = normal({2, 6}, 1);
  const Outputs outputs = model.forward(input);
  EXPECT_TRUE(is_equal(outputs["joined"], at::cat({input.slice(1, 4, 6), input.slice(1, 0, 2)}, 1)));
  EXPECT_TRUE(is_equal(outputs["tall"], at::cat({tensor_of(model, "weight"), input})));
}

TEST(Lists, MayHoldNone) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {kBatch, 6});
  const ValueId index = builder.input("index", {3}, at::kLong);
  builder.outputs({{"out", builder.call("aten::index.Tensor", {x, graph::ArgumentList{graph::None{}, index}})}});
  Model model(std::move(graph));
  const at::Tensor input = normal({2, 6}, 1), wanted = at::tensor({5, 0, 3}, at::kLong);
  EXPECT_TRUE(is_equal(model.forward({{{"x", input}, {"index", wanted}}}).logits(), input.index_select(1, wanted)));
}

TEST(Sizes, SymbolsFollowTheBatch) {
  Model model(single_input_graph({kBatch, 4, 3}, [](Graph& graph, ValueId x) {
    return call(graph, "aten::reshape", {x, graph::Sizes{kBatch * 2, 6}});
  }));
  for (const int64_t batch : {1, 5, 2, 5}) {
    const at::Tensor x = normal({batch, 4, 3}, 1);
    EXPECT_TRUE(is_equal(model(x), x.reshape({batch * 2, 6})));
  }
}

TEST(Sizes, KernelsRefusalNamesOpAndScope) {
  Graph graph = residual_network();
  graph.set_parameter_tensor("fc.weight", normal({5, 7}, 1));
  graph::ValueId weight = graph.parameter_value("fc.weight");
  graph.edit(weight.node).types = {graph::type_of_tensor(graph.parameter("fc.weight").tensor)};
  Model model(std::move(graph));
  const std::string message = message_of<InvalidArgument>([&] { model(normal({2, 3, 8, 8}, 1)); });
  EXPECT_NE(message.find("aten::linear in 'fc'"), std::string::npos) << message;
}

}  // namespace
}  // namespace limbeck
