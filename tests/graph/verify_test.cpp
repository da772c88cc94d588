#include "limbeck/graph/verify.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/graph/text/text.h"

namespace limbeck::graph {
namespace {

Graph sound_graph() {
  return parse(R"(graph(%x: f32[B, 4], %n: i64[B]) as tuple(*, *)
  param %w: f32[4] grad
  buffer %mean: f32[4]
  %relu = aten::relu(%x)  # act
  %drop = aten::dropout(%relu, 0.5, False)  # act
  %sum = aten::add.Tensor(%drop, %w)
  %update = aten::add.Tensor(%mean, 1)
  %either = limbeck::by_mode(%sum, %relu)
  train: (out=%either)
  eval: (out=%either)
  write mean = %update when train
  range B = [1, 64]
  check B <= 64: "limit"
  assume train: "unsure"
)");
}

NodeId node_of(const Graph& graph, const std::string& value) { return graph.find_value(value)->node; }

TEST(Verify, AcceptsASoundGraph) {
  const Graph graph = sound_graph();
  EXPECT_EQ(find_faults(graph), std::vector<std::string>{});
  EXPECT_NO_THROW(verify(graph, "after parsing"));
  EXPECT_EQ(find_faults(Graph()), std::vector<std::string>{});
}

struct Fault {
  const char* name;
  void (*spoil)(Graph&);
  const char* finding;
};

const Fault kFaults[] = {
    {"UseBeforeDefinition", [](Graph& g) { g.edit(node_of(g, "relu")).arguments[0] = *g.find_value("sum"); },
     "%relu (aten::relu in 'act'): takes %sum before it is made"},
    {"UnknownNode",
     [](Graph& g) {
       g.edit(node_of(g, "relu")).arguments[0] = ValueId{999, 0};
     },
     "%relu (aten::relu in 'act'): takes a value of node 999, which does not exist"},
    {"UnknownOutput",
     [](Graph& g) {
       g.edit(node_of(g, "relu")).arguments[0] = ValueId{node_of(g, "x"), 3};
     },
     "takes output 3 of %x"},
    {"TooFewArguments", [](Graph& g) { g.edit(node_of(g, "sum")).arguments.pop_back(); }, "2 arguments for 3 slots"},
    {"WrongKind", [](Graph& g) { g.edit(node_of(g, "drop")).arguments[1] = "half"; },
     "argument 'p' is a string, not float"},
    {"NoneForATensor", [](Graph& g) { g.edit(node_of(g, "relu")).arguments[0] = None{}; },
     "argument 'self' is None, not Tensor"},
    {"MissingType", [](Graph& g) { g.edit(node_of(g, "relu")).types.clear(); }, "0 output types for 1 returns"},
    {"UnknownShape", [](Graph& g) { g.edit(node_of(g, "relu")).types[0].tensor()->sizes.reset(); },
     "the shape of an output is not known"},
    {"NegativeSize", [](Graph& g) { (*g.edit(node_of(g, "relu")).types[0].tensor()->sizes)[1] = -4; },
     "negative size -4"},
    {"StridesOfOtherRank", [](Graph& g) { g.edit(node_of(g, "relu")).types[0].tensor()->strides = Sizes{1}; },
     "strides do not fit the sizes"},
    {"MissingName", [](Graph& g) { g.edit(node_of(g, "relu")).names.clear(); }, "0 names for 1 outputs"},
    {"NameTwice", [](Graph& g) { g.edit(node_of(g, "relu")).names[0] = "sum"; }, "the value name 'sum' is not unique"},
    {"UnboundSymbol",
     [](Graph& g) { (*g.edit(node_of(g, "relu")).types[0].tensor()->sizes)[0] = IntExpr::symbol("C"); },
     "no input binds the size 'C' of 'C'"},
    {"UnboundSymbolInArgument", [](Graph& g) { g.edit(node_of(g, "sum")).arguments[2] = IntExpr::symbol("C") * 2; },
     "no input binds the size 'C' of '2*C'"},
    {"UnknownScope", [](Graph& g) { g.edit(node_of(g, "relu")).scope = 77; }, "scope 77 does not exist"},
    {"UnknownRegion", [](Graph& g) { g.edit(node_of(g, "relu")).region = 5; }, "region 5 does not exist"},
    {"UnknownCalls", [](Graph& g) { g.edit(node_of(g, "relu")).outer_calls = 5; }, "outer calls 5 do not exist"},
    {"PinsNothing", [](Graph& g) { g.edit(node_of(g, "relu")).pinned_flags = 1; },
     "pins mode arguments that aten::relu lacks"},
    {"ErasedParameter", [](Graph& g) { g.erase_parameter("w"); }, "reads a parameter that does not exist"},
    {"ParameterOfOtherShape", [](Graph& g) { g.set_parameter_tensor("w", at::zeros({5})); },
     "the type differs from the parameter's tensor"},
    {"UnknownInput", [](Graph& g) { g.edit(node_of(g, "x")).arguments[0] = 7; }, "reads an input that does not exist"},
    {"InputTwice", [](Graph& g) { g.inputs[1].name = "x"; }, "two inputs are called 'x'"},
    {"InputTree", [](Graph& g) { g.input_tree.children.pop_back(); }, "the input tree has 1 leaves for 2 inputs"},
    {"EmptyByMode",
     [](Graph& g) {
       g.edit(node_of(g, "either")).arguments[0] = None{};
       g.edit(node_of(g, "either")).arguments[1] = None{};
     },
     "has no value in either mode"},
    {"UnknownOutputValue",
     [](Graph& g) {
       g.eval_outputs[0].value = ValueId{999, 0};
     },
     "eval output 'out' is a value that does not exist"},
    {"OutputTree", [](Graph& g) { g.train_tree.kind = "tuple"; },
     "the tree of the train outputs has 0 leaves for 1 outputs"},
    {"TreeKind",
     [](Graph& g) {
       g.train_tree.kind = "set";
       g.train_tree.children.resize(1);
     },
     "a tree has a node of unknown kind 'set'"},
    {"TreeKeys",
     [](Graph& g) {
       g.train_tree.kind = "dict";
       g.train_tree.children.resize(1);
       g.train_tree.keys = {"a", "b"};
     },
     "a tree has 2 keys for 1 children"},
    {"WriteToNothing", [](Graph& g) { g.state_writes[0].buffer = "nothing"; },
     "a state write goes to 'nothing', which does not exist"},
    {"WriteToParameter", [](Graph& g) { g.state_writes[0].buffer = "w"; },
     "a state write goes to 'w', which is a parameter"},
    {"WriteOfOtherShape", [](Graph& g) { g.state_writes[0].value = *g.find_value("relu"); },
     "the state write to 'mean' takes %relu of another shape"},
    {"WriteOfNothing",
     [](Graph& g) {
       g.state_writes[0].value = {999, 0};
     },
     "the state write to 'mean' takes a value that does not exist"},
    {"ScopeOutputOfNothing",
     [](Graph& g) {
       g.scope_outputs.push_back({.scope = *g.find_scope("act"), .values = {{999, 0}}});
     },
     "scope 'act' names a value that does not exist"},
    {"ScopeOutputsOfNoScope", [](Graph& g) { g.scope_outputs.push_back({.scope = 99, .call = 0, .values = {}}); },
     "outputs of scope 99, which does not exist"},
    {"RangeOfNothing", [](Graph& g) { g.ranges[0].symbol = "C"; }, "no input binds the size 'C', which has a range"},
    {"EmptyRange", [](Graph& g) { g.ranges[0].max = 0; }, "the range of 'B' is empty"},
    {"CheckOfNothing", [](Graph& g) { g.checks[0].left = IntExpr::symbol("C"); },
     "no input binds the size 'C', which is checked"},
    {"AssumptionOfNoScope", [](Graph& g) { g.assumptions[0].scope = 99; },
     "an assumption names scope 99, which does not exist"},
    {"NoTensor", [](Graph& g) { g.add_parameter({.name = "empty", .tensor = at::Tensor()}); },
     "parameter 'empty' has no tensor"},
};

class VerifyFault : public ::testing::TestWithParam<Fault> {};

TEST_P(VerifyFault, IsFound) {
  Graph graph = sound_graph();
  GetParam().spoil(graph);
  std::string all;
  for (const std::string& finding : find_faults(graph)) all += finding + "\n";
  EXPECT_NE(all.find(GetParam().finding), std::string::npos) << all;
  EXPECT_THROW(verify(graph, "after spoiling"), InternalError);
}

INSTANTIATE_TEST_SUITE_P(Each, VerifyFault, ::testing::ValuesIn(kFaults),
                         [](const auto& fault) { return std::string(fault.param.name); });

TEST(Verify, SaysAfterWhatAndBoundsItsFindings) {
  Graph graph = sound_graph();
  for (int i = 0; i < 1000; ++i) graph.checks.push_back({.left = IntExpr::symbol("C"), .right = 1, .message = ""});
  EXPECT_EQ(find_faults(graph).size(), 64U);
  try {
    verify(graph, "after fold_conv_bn");
    FAIL();
  } catch (const InternalError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("[graph] unsound after fold_conv_bn:"), std::string::npos) << message;
    EXPECT_NE(message.find("and 59 more"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace limbeck::graph
