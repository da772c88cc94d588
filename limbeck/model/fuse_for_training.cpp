#include "limbeck/model/fuse_for_training.h"

#include "limbeck/graph/passes/depthwise_gradients.h"
#include "limbeck/graph/passes/fuse_batch_norm.h"

namespace limbeck::fused {

namespace {

void use_depthwise(graph::Graph& graph, passes::FusionReport& report) {
  if (!passes::use_depthwise_gradients(graph)) return;
  for (const graph::NodeId id : graph.order()) {
    if (graph.node(id).op->is("limbeck::depthwise_conv2d")) ++report.fused["depthwise convolution with own gradients"];
  }
}

}  // namespace

passes::FusionReport fuse_for_training(graph::Graph& graph, const passes::FusionScope& scope) {
  passes::FusionReport report;
  passes::fuse_batch_norm(graph, scope, report);
  use_depthwise(graph, report);
  return report;
}

}  // namespace limbeck::fused
