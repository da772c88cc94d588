// What decomposed graphs write to buffers: running statistics and values that forward uses too.
#include <gtest/gtest.h>

#include "limbeck/graph/capture/decomposed/decomposed.h"
#include "limbeck/graph/text/text.h"
#include "tests/graph/capture/golden.h"

namespace limbeck::capture {
namespace {

using graph::ValueId;
using testing::count_op;

Export decomposed(const std::string& text) {
  Export source;
  source.graph = graph::parse(text);
  source.is_decomposed = true;
  raise_decomposed(source);
  return source;
}

TEST(DetachWrittenValues, LeavesOutputsAndTellsOfUses) {
  const Export source = decomposed(
      "graph(%x: f32[4])\n"
      "  buffer %state: f32[4]\n"
      "  %next = aten::add.Tensor(%x, %state)\n"
      "  %out = aten::relu(%next)\n"
      "  write state = %next when both\n"
      "  train: (a=%next, b=%out)\n"
      "  eval: (a=%next, b=%out)\n");
  const graph::Graph& graph = source.graph;
  const ValueId next = *graph.find_value("next");
  EXPECT_EQ(graph.eval_outputs[0].value, graph::Argument(next));
  EXPECT_EQ(graph.train_outputs[0].value, graph::Argument(next));
  EXPECT_EQ(graph.state_writes[0].value, next);
  const graph::Node& relu = graph.node(graph.find_value("out")->node);
  EXPECT_TRUE(graph.node(relu.arguments[0].value()->node).op->is("aten::detach"));
  ASSERT_EQ(source.notes.size(), 1U);
  EXPECT_NE(source.notes[0].find("%next"), std::string::npos) << source.notes[0];
  EXPECT_NE(source.notes[0].find("'state'"), std::string::npos) << source.notes[0];
}

TEST(DetachWrittenValues, SaysNothingWhereForwardDoesNotUseThem) {
  const Export source = decomposed(
      "graph(%x: f32[4])\n"
      "  buffer %state: f32[4]\n"
      "  %next = aten::add.Tensor(%x, %state)\n"
      "  write state = %next when both\n"
      "  train: (%next)\n"
      "  eval: (%next)\n");
  EXPECT_EQ(count_op(source.graph, "aten::detach"), 0U);
  EXPECT_TRUE(source.notes.empty());
}

/// batch_norm in train mode, with `outputs` returned beside %out.
Export trained_norm(const std::string& outputs, const std::string& writes = {}) {
  return decomposed(
      "graph(%x: f32[4, 2])\n"
      "  buffer %mean: f32[2]\n"
      "  buffer %variance: f32[2]\n"
      "  buffer copy: f32[2]\n"
      "  %out, %saved, %inverse, %new_mean, %new_variance = aten::_native_batch_norm_legit_functional(%x, None, None, "
      "%mean, %variance, True, 0.1, 1e-5)\n"
      "  write mean = %new_mean when both\n"
      "  write variance = %new_variance when both\n" +
      writes + "  train: (%out" + outputs + ")\n  eval: (%out" + outputs + ")\n");
}

TEST(RaiseNorms, BatchNormWritesItsStatisticsItself) {
  const Export source = trained_norm("");
  EXPECT_EQ(count_op(source.graph, "aten::batch_norm"), 1U);
  EXPECT_TRUE(source.graph.state_writes.empty());
}

TEST(RaiseNorms, KeepsTheWritesOfABatchNormThatStays) {
  for (const Export& source : {trained_norm(", %saved"), trained_norm(", %new_mean"),
                               trained_norm("", "  write copy = %new_variance when both\n")}) {
    EXPECT_EQ(count_op(source.graph, "aten::batch_norm"), 0U);
    ASSERT_GE(source.graph.state_writes.size(), 2U);
    EXPECT_EQ(source.graph.state_writes[0].buffer, "mean");
    EXPECT_EQ(source.graph.state_writes[1].buffer, "variance");
  }
}

}  // namespace
}  // namespace limbeck::capture
