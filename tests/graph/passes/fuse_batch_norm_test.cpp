#include "limbeck/graph/passes/fuse_batch_norm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/graph/text/text.h"
#include "limbeck/graph/verify.h"

namespace limbeck::passes {
namespace {

using graph::Graph;

FusionScope training() {
  return {.is_training = [](graph::ScopeId) { return true; }};
}

/// A graph of batch norms over %x and %r, as `body` and the returned value say.
Graph parse(const std::string& body, const std::string& output) {
  return graph::parse(R"(
graph net(%x: f32[B, 4, 6, 6], %r: f32[B, 4, 6, 6])
  param %bn.weight: f32[4] grad
  param %bn.bias: f32[4] grad
  buffer %bn.running_mean: f32[4]
  buffer %bn.running_var: f32[4]
)" + body + "  train: (out=%" +
                      output + ")\n  eval: (out=%" + output + ")\n");
}

std::string norm(const std::string& name, const std::string& input) {
  return "  %" + name + " = aten::batch_norm(%" + input +
         ", %bn.weight, %bn.bias, %bn.running_mean, %bn.running_var, False, 0.1, 1e-05, True)  # bn\n";
}

/// The names of the ops that compute, in order, of a graph that must be sound.
std::string ops(const Graph& graph) {
  EXPECT_TRUE(graph::find_faults(graph).empty()) << graph::print(graph);
  std::string text;
  for (const graph::NodeId id : graph.order()) {
    const std::string& name = graph.node(id).op->name;
    if (name != "limbeck::input" && name != "limbeck::parameter") text += (text.empty() ? "" : " ") + name;
  }
  return text;
}

std::string fused_line(const Graph& graph) {
  const std::string text = graph::print(graph);
  const std::size_t at = text.find("limbeck::batch_norm_act");
  return at == std::string::npos ? "" : text.substr(at, text.find(')', at) + 1 - at);
}

TEST(FuseBatchNorm, TakesTheActivation) {
  for (const auto& [op, name] :
       std::vector<std::pair<std::string, std::string>>{{"aten::relu(%n)", "relu"},
                                                        {"aten::relu6(%n)", "relu6"},
                                                        {"aten::silu(%n)", "silu"},
                                                        {"aten::hardtanh(%n, 0, 6)", "relu6"}}) {
    Graph graph = parse(norm("n", "x") + "  %y = " + op + "  # act\n", "y");
    FusionReport report;
    EXPECT_TRUE(fuse_batch_norm(graph, training(), report));
    EXPECT_EQ(ops(graph), "limbeck::batch_norm_act") << op;
    EXPECT_EQ(fused_line(graph),
              "limbeck::batch_norm_act(%x, %bn.weight, %bn.bias, %bn.running_mean, %bn.running_var, True, 0.1, 1e-05, "
              "None, \"" +
                  name + "\")");
    EXPECT_EQ(report.fused.at("batch_norm + " + name), 1);
    EXPECT_FALSE(fuse_batch_norm(graph, training(), report)) << "applied twice";
  }
}

TEST(FuseBatchNorm, TakesTheResidualOnEitherSide) {
  for (const std::string sum : {"aten::add.Tensor(%n, %r)", "aten::add.Tensor(%r, %n)"}) {
    Graph graph = parse(norm("n", "x") + "  %s = " + sum + "\n  %y = aten::relu(%s)\n", "y");
    FusionReport report;
    EXPECT_TRUE(fuse_batch_norm(graph, training(), report));
    EXPECT_EQ(ops(graph), "limbeck::batch_norm_act");
    EXPECT_NE(fused_line(graph).find("%r, \"relu\""), std::string::npos) << fused_line(graph);
  }
}

/// A sum in place has its first argument's type: the node says so on, and a residual written in place is left alone.
TEST(FuseBatchNorm, KeepsTheTypeOfASumInPlace) {
  Graph graph = parse(norm("n", "x") + "  %y = aten::add.Tensor(%n, %r)  # {in_place}\n", "y");
  FusionReport report;
  EXPECT_TRUE(fuse_batch_norm(graph, training(), report));
  EXPECT_EQ(ops(graph), "limbeck::batch_norm_act");
  EXPECT_TRUE(graph.node(graph.order().back()).was_in_place);

  Graph other = parse(norm("n", "x") + "  %y = aten::add.Tensor(%r, %n)  # {in_place}\n", "y");
  EXPECT_TRUE(fuse_batch_norm(other, training(), report));
  EXPECT_EQ(ops(other), "limbeck::batch_norm_act aten::add.Tensor");
}

TEST(FuseBatchNorm, StandsAloneWhereNothingFits) {
  const std::string alone = "limbeck::batch_norm_act aten::";
  for (const std::string op : {"aten::tanh(%n)", "aten::hardtanh(%n, -1, 6)", "aten::add.Tensor(%n, %r, alpha=2)",
                               "aten::add.Tensor(%n, 1)", "aten::add.Tensor(%n, %n)", "aten::mul.Tensor(%n, %r)"}) {
    Graph graph = parse(norm("n", "x") + "  %y = " + op + "\n", "y");
    FusionReport report;
    EXPECT_TRUE(fuse_batch_norm(graph, training(), report));
    EXPECT_EQ(ops(graph).substr(0, alone.size()), alone) << op;
    EXPECT_EQ(report.fused.at("batch_norm"), 1);
  }
}

TEST(FuseBatchNorm, LeavesASumBeforeSilu) {
  Graph graph = parse(norm("n", "x") + "  %s = aten::add.Tensor(%n, %r)\n  %y = aten::silu(%s)\n", "y");
  FusionReport report;
  EXPECT_TRUE(fuse_batch_norm(graph, training(), report));
  EXPECT_EQ(ops(graph), "limbeck::batch_norm_act aten::silu");
}

TEST(FuseBatchNorm, KeepsAValueThatIsUsedTwiceReturnedOrTapped) {
  const std::string twice = norm("n", "x") + "  %a = aten::relu(%n)\n  %y = aten::mul.Tensor(%a, %n)\n";
  Graph graph = parse(twice, "y");
  FusionReport report;
  EXPECT_TRUE(fuse_batch_norm(graph, training(), report));
  EXPECT_EQ(ops(graph), "limbeck::batch_norm_act aten::relu aten::mul.Tensor");

  graph = parse(norm("n", "x") + "  %y = aten::relu(%n)\n", "n");
  EXPECT_TRUE(fuse_batch_norm(graph, training(), report));
  EXPECT_EQ(ops(graph), "limbeck::batch_norm_act aten::relu");

  graph = parse(norm("n", "x") + "  %y = aten::relu(%n)\n", "y");
  FusionScope tapped = training();
  tapped.kept = {*graph.find_value("n")};
  EXPECT_TRUE(fuse_batch_norm(graph, tapped, report));
  EXPECT_EQ(ops(graph), "limbeck::batch_norm_act aten::relu");
}

TEST(FuseBatchNorm, LeavesFrozenStatisticsAndOtherRanksWithAReason) {
  Graph graph = parse(norm("n", "x") + "  %y = aten::relu(%n)\n", "y");
  FusionReport report;
  EXPECT_FALSE(fuse_batch_norm(graph, {.is_training = [](graph::ScopeId) { return false; }}, report));
  EXPECT_EQ(report.left, std::vector<std::string>{"bn: its statistics are frozen"});
  graph.edit(graph.find_value("n")->node).pinned_flags = 1;  // an export that froze it
  EXPECT_FALSE(fuse_batch_norm(graph, training(), report));

  graph = graph::parse(R"(
graph net(%x: f32[B, 4, 6])
  %y: f32[B, 4, 6] = aten::batch_norm(%x, None, None, None, None, True, 0.1, 1e-05, True)  # flat
  train: (out=%y)
  eval: (out=%y)
)");
  report = {};
  EXPECT_FALSE(fuse_batch_norm(graph, training(), report));
  EXPECT_EQ(report.left, std::vector<std::string>{"flat: its input is not [N, C, H, W]"});
}

}  // namespace
}  // namespace limbeck::passes
