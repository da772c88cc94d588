#include "limbeck/model/fuse_for_training.h"

#include <array>
#include <string_view>
#include <utility>

#include "limbeck/graph/passes/exchange/depthwise_gradients.h"
#include "limbeck/graph/passes/exchange/own_attention.h"
#include "limbeck/graph/passes/exchange/own_unbind.h"
#include "limbeck/graph/passes/exchange/patch_products.h"
#include "limbeck/graph/passes/exchange/sample_pointwise.h"
#include "limbeck/graph/passes/fuse_batch_norm.h"

namespace limbeck::fused {

namespace {

/// Ops for which own ones of the same arguments stand in training, and how the report names them.
constexpr std::array<std::pair<std::string_view, const char*>, 4> kExchanged = {{
    {"limbeck::depthwise_conv2d", "depthwise convolution with own gradients"},
    {"limbeck::strided_pointwise_conv2d", "1x1 convolution on the pixels that it reads"},
    {"limbeck::patch_conv2d", "convolution of patches as a matrix product"},
    {"limbeck::scaled_dot_product_attention", "attention with own gradients"},
}};

void exchange_ops(graph::Graph& graph, passes::FusionReport& report) {
  passes::use_depthwise_gradients(graph);
  passes::sample_pointwise(graph);
  passes::use_patch_products(graph);
  passes::use_own_attention(graph);
  passes::use_own_unbind(graph);
  for (const graph::NodeId id : graph.order()) {
    for (const auto& [op, name] : kExchanged) {
      if (graph.node(id).op->is(op)) ++report.fused[name];
    }
  }
}

}  // namespace

passes::FusionReport fuse_for_training(graph::Graph& graph, const passes::FusionScope& scope) {
  passes::FusionReport report;
  passes::fuse_batch_norm(graph, scope, report);
  exchange_ops(graph, report);
  return report;
}

}  // namespace limbeck::fused
