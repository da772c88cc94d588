#include "limbeck/graph/graph.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/text/text.h"

namespace limbeck::graph {
namespace {

/// x -> relu -> add(relu, w) -> out
Graph small_graph() {
  return parse(R"(graph small(%x: f32[B, 4])
  param %w: f32[4] grad
  %relu = aten::relu(%x)  # block.act
  %sum = aten::add.Tensor(%relu, %w)  # block
  train: (out=%sum)
  eval: (out=%sum)
)");
}

NodeId node_of(const Graph& graph, const std::string& value) { return graph.find_value(value)->node; }

TEST(Graph, CopiesWithoutCopyingNodesOrTensors) {
  Graph graph;
  Builder b(graph);
  ValueId x = b.input("x", {2});
  for (int i = 0; i < 1000; ++i) x = b.call("aten::relu", {x});
  const Graph copy = graph;
  const NodeId last = graph.order().back();
  EXPECT_EQ(&copy.node(last), &graph.node(last));  // one chunk, shared
  graph.edit(last).was_in_place = true;
  EXPECT_FALSE(copy.node(last).was_in_place);
  EXPECT_NE(&copy.node(last), &graph.node(last));
  EXPECT_EQ(&copy.node(graph.order()[1]), &graph.node(graph.order()[1]));  // other chunks still are
}

TEST(Graph, EditsOfACopyLeaveTheOriginal) {
  const Graph graph = small_graph();
  const std::string before = print(graph);
  Graph copy = graph;
  const ValueId relu = *copy.find_value("relu"), x = *copy.find_value("x");
  copy.replace_all_uses(relu, x);
  copy.erase(relu.node);
  EXPECT_EQ(print(graph), before);
  EXPECT_FALSE(copy.is_live(relu.node));
  EXPECT_TRUE(graph.is_live(relu.node));
}

TEST(Graph, ReplacesAllUses) {
  Graph graph = small_graph();
  const ValueId sum = *graph.find_value("sum"), relu = *graph.find_value("relu");
  graph.state_writes.push_back({.buffer = "w", .value = sum});
  number_scope_outputs(graph);
  graph.replace_all_uses(sum, relu);
  EXPECT_EQ(*graph.train_outputs[0].value.value(), relu);
  EXPECT_EQ(*graph.eval_outputs[0].value.value(), relu);
  EXPECT_EQ(graph.state_writes[0].value, relu);
  EXPECT_EQ(graph.resolve("block"), relu);
  EXPECT_TRUE(graph.users(sum).empty());
}

TEST(Graph, ReplacementKeepsItsOwnUse) {
  Graph graph = small_graph();
  const ValueId relu = *graph.find_value("relu");
  Node negative{.op = &op_info("aten::neg"), .arguments = {relu}, .types = {graph.type(relu)}};
  const ValueId wrapped{graph.insert_after(relu.node, negative), 0};
  graph.replace_all_uses(relu, wrapped);
  EXPECT_EQ(*graph.node(wrapped.node).arguments[0].value(), relu);
  EXPECT_EQ(*graph.node(node_of(graph, "sum")).arguments[0].value(), wrapped);
}

TEST(Graph, RefusesToEraseWhatIsUsed) {
  Graph graph = small_graph();
  EXPECT_THROW(graph.erase(node_of(graph, "relu")), InternalError);
}

TEST(Graph, RefusesToEraseOutputsAndStateWrites) {
  Graph graph = small_graph();
  EXPECT_THROW(graph.erase(node_of(graph, "sum")), InternalError);
}

TEST(Graph, KeepsStructuralNodesInFront) {
  Graph graph = small_graph();
  graph.add_parameter({.name = "late", .tensor = at::zeros({4})});
  const ValueId late = graph.parameter_value("late");
  EXPECT_EQ(graph.order()[2], late.node);
  const NodeId inserted =
      graph.insert_after(late.node, {.op = &op_info("aten::relu"), .arguments = {late}, .types = {graph.type(late)}});
  EXPECT_EQ(graph.order()[3], inserted);
  graph.erase(inserted);
  graph.erase(late.node);
  EXPECT_NE(graph.parameter_value("late").node, late.node);  // made anew
}

TEST(Graph, MakesUpUniqueNames) {
  Graph graph = small_graph();
  const ValueId x = *graph.find_value("x");
  Node node{.op = &op_info("aten::relu"), .arguments = {x}, .types = {graph.type(x)}};
  EXPECT_EQ(graph.name({graph.append(node), 0}), "relu_1");
  EXPECT_EQ(graph.name({graph.append(node), 0}), "relu_2");
  node.names = {"sum"};
  const NodeId named = graph.append(node);
  EXPECT_EQ(graph.name({named, 0}), "sum_1");
  graph.rename({named, 0}, "total");
  EXPECT_EQ(graph.find_value("total"), (ValueId{named, 0}));
  EXPECT_EQ(graph.find_value("sum_1"), std::nullopt);
}

TEST(Graph, ErasedNamesAreFreeAgain) {
  Graph graph = small_graph();
  const ValueId relu = *graph.find_value("relu");
  graph.replace_all_uses(relu, *graph.find_value("x"));
  graph.erase(relu.node);
  EXPECT_EQ(graph.find_value("relu"), std::nullopt);
  EXPECT_EQ(graph.num_ids(), 4U);  // ids are never given again
}

TEST(Graph, NamesParametersByTheNearest) {
  Graph graph = small_graph();
  graph.add_parameter({.name = "layer1.weight", .tensor = at::zeros({1})});
  EXPECT_THROW(graph.add_parameter({.name = "w", .tensor = at::zeros({1})}), InvalidArgument);
  try {
    graph.parameter("layer1.wieght");
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("layer1.weight"), std::string::npos);
  }
}

TEST(Graph, ErasesParameters) {
  Graph graph = small_graph();
  graph.add_parameter({.name = "a", .tensor = at::zeros({1})});
  graph.add_parameter({.name = "b", .tensor = at::ones({1})});
  graph.erase_parameter("a");
  EXPECT_EQ(graph.find_parameter("a"), nullptr);
  EXPECT_EQ(graph.parameter("b").tensor.item<float>(), 1.F);
}

TEST(Graph, CloneKeepsTiesAndViews) {
  Graph graph;
  const at::Tensor base = at::arange(12, at::kFloat);
  graph.add_parameter({.name = "a", .tensor = base});
  graph.add_parameter({.name = "tied", .tensor = base});
  graph.add_parameter({.name = "view", .tensor = base.slice(0, 4, 8).view({2, 2})});
  graph.add_parameter({.name = "other", .tensor = at::ones({3})});
  const Graph copy = graph.clone();
  EXPECT_EQ(copy.parameter("a").tensor.unsafeGetTensorImpl(), copy.parameter("tied").tensor.unsafeGetTensorImpl());
  EXPECT_TRUE(copy.parameter("a").tensor.is_alias_of(copy.parameter("view").tensor));
  EXPECT_FALSE(copy.parameter("a").tensor.is_alias_of(base));
  copy.parameter("a").tensor.fill_(-1);
  EXPECT_EQ(copy.parameter("view").tensor.sum().item<float>(), -4.F);
  EXPECT_EQ(base.sum().item<float>(), 66.F);
  EXPECT_FALSE(copy.parameter("other").tensor.is_alias_of(graph.parameter("other").tensor));
}

TEST(ScopePath, ReadsScopeCallAndIndex) {
  const ScopePath full = parse_scope_path("layer1.0@2#3");
  EXPECT_EQ(full.scope, "layer1.0");
  EXPECT_EQ(full.call, 2U);
  EXPECT_EQ(full.index, 3U);
  const ScopePath bare = parse_scope_path("fc");
  EXPECT_EQ(bare.scope, "fc");
  EXPECT_FALSE(bare.call.has_value());
  EXPECT_THROW(parse_scope_path("fc#"), InvalidArgument);
  EXPECT_THROW(parse_scope_path("fc#x"), InvalidArgument);
  EXPECT_THROW(parse_scope_path("fc@-1"), InvalidArgument);
}

/// Two calls of `outer`, in each one call of `inner`, and a second value that leaves `outer` the first time.
Graph nested_graph() {
  Graph graph = parse(R"(graph(%x: f32[4])
  %a = aten::relu(%x)  # outer.inner
  %b = aten::neg(%a)  # outer
  %c = aten::abs(%a)  # outer
  %d = aten::relu(%b)  # outer.inner@1 {calls [1]}
  %e = aten::neg(%d)  # outer@1
  %f = aten::add.Tensor(%e, %c)
  train: (%f)
  eval: (%f)
  scope outer.identity: "torch.nn.modules.linear.Identity"
)");
  number_scope_outputs(graph);
  return graph;
}

TEST(ScopeOutputs, TellCallsOfAncestorsApart) {
  const Graph graph = nested_graph();
  EXPECT_EQ(graph.name(graph.resolve("outer")), "b");  // used by outer@1
  EXPECT_EQ(graph.name(graph.resolve("outer#1")), "c");
  EXPECT_EQ(graph.name(graph.resolve("outer@1")), "e");
  EXPECT_EQ(graph.name(graph.resolve("outer.inner")), "a");
  EXPECT_EQ(graph.name(graph.resolve("outer.inner@1")), "d");
  EXPECT_EQ(graph.name(graph.resolve("")), "f");
}

TEST(ScopeOutputs, NameTheNearestScope) {
  const Graph graph = nested_graph();
  EXPECT_THROW(graph.resolve("outer#2"), InvalidArgument);
  EXPECT_THROW(graph.resolve("outer@2"), InvalidArgument);
  for (const auto& [path, expected] :
       {std::pair{"outer.inne", "no scope 'outer.inne'. Nearest: outer.inner"},
        {"outer.identity", "scope 'outer.identity' left no value at call 0 of the graph. Nearest: outer"}}) {
    try {
      graph.resolve(path);
      FAIL() << path;
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what();
    }
  }
}

TEST(UseMap, CountsOutputsAndStateWrites) {
  Graph graph = small_graph();
  const ValueId sum = *graph.find_value("sum"), relu = *graph.find_value("relu");
  graph.state_writes.push_back({.buffer = "w", .value = relu});
  const UseMap uses(graph);
  EXPECT_EQ(uses.num_uses(sum), 2U);  // an output of each mode
  EXPECT_EQ(uses.num_uses(relu), 2U);
  EXPECT_EQ(uses.users(relu), std::vector<NodeId>{sum.node});
  EXPECT_TRUE(graph.is_exported(relu));
  EXPECT_FALSE(graph.is_exported(*graph.find_value("x")));
}

/// An auxiliary head in train mode, a by_mode value, a state write of train mode in scope "bn".
Graph modal_graph() {
  return parse(R"(graph(%x: f32[4])
  buffer %count: f32[4]
  %a = aten::relu(%x)
  %b = aten::neg(%x)
  %chosen = limbeck::by_mode(%a, %b)  # part
  %aux = aten::abs(%x)
  %next = aten::add.Tensor(%count, %x)  # bn
  %unused = aten::exp(%x)
  train: (%chosen, %aux)
  eval: (%chosen)
  write count = %next when train  # bn
)");
}

std::vector<std::string> names_of(const Graph& graph, const std::vector<NodeId>& nodes) {
  std::vector<std::string> names;
  for (const NodeId id : nodes) names.push_back(graph.node(id).names[0]);
  return names;
}

TEST(NeededNodes, FollowModeScopesAndTaps) {
  const Graph graph = modal_graph();
  const auto needed = [&](Mode root, const std::function<Mode(ScopeId)>& mode_of,
                          const std::vector<ValueId>& taps = {}) {
    return names_of(graph, needed_nodes(graph, root, mode_of, taps));
  };
  const auto all = [](Mode mode) { return [mode](ScopeId) { return mode; }; };
  using Names = std::vector<std::string>;
  EXPECT_EQ(needed(Mode::train, all(Mode::train)), (Names{"x", "count", "a", "chosen", "aux", "next"}));
  EXPECT_EQ(needed(Mode::eval, all(Mode::eval)), (Names{"x", "b", "chosen"}));
  const ScopeId part = *graph.find_scope("part"), bn = *graph.find_scope("bn");
  EXPECT_EQ(needed(Mode::eval, [&](ScopeId id) { return id == part ? Mode::train : Mode::eval; }),
            (Names{"x", "a", "chosen"}));
  EXPECT_EQ(needed(Mode::eval, [&](ScopeId id) { return id == bn ? Mode::train : Mode::eval; }),
            (Names{"x", "count", "b", "chosen", "next"}));
  EXPECT_EQ(needed(Mode::eval, all(Mode::eval), {*graph.find_value("unused")}), (Names{"x", "b", "chosen", "unused"}));
}

TEST(EliminateDeadNodes, KeepsWhatEitherModeNeeds) {
  Graph graph = modal_graph();
  EXPECT_TRUE(eliminate_dead_nodes(graph));
  EXPECT_EQ(graph.find_value("unused"), std::nullopt);
  for (const char* name : {"a", "b", "chosen", "aux", "next", "count"}) EXPECT_TRUE(graph.find_value(name)) << name;
  EXPECT_FALSE(eliminate_dead_nodes(graph));
}

}  // namespace
}  // namespace limbeck::graph
