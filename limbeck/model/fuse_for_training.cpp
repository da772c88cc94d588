#include "limbeck/model/fuse_for_training.h"

#include "limbeck/graph/passes/depthwise_gradients.h"
#include "limbeck/graph/passes/fuse_batch_norm.h"
#include "limbeck/graph/passes/sample_pointwise.h"

namespace limbeck::fused {

namespace {

/// Convolutions of which other ops make the gradients, counted by what they are.
void exchange_convolutions(graph::Graph& graph, passes::FusionReport& report) {
  passes::use_depthwise_gradients(graph);
  passes::sample_pointwise(graph);
  for (const graph::NodeId id : graph.order()) {
    const graph::OpInfo& op = *graph.node(id).op;
    if (op.is("limbeck::depthwise_conv2d")) ++report.fused["depthwise convolution with own gradients"];
    if (op.is("limbeck::strided_pointwise_conv2d")) ++report.fused["1x1 convolution on the pixels that it reads"];
  }
}

}  // namespace

passes::FusionReport fuse_for_training(graph::Graph& graph, const passes::FusionScope& scope) {
  passes::FusionReport report;
  passes::fuse_batch_norm(graph, scope, report);
  exchange_convolutions(graph, report);
  return report;
}

}  // namespace limbeck::fused
