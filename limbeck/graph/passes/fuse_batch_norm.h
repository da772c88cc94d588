// Batch norms of a training run with what follows them, as limbeck::batch_norm_act.
//
//   batch_norm -> relu                          ==>  batch_norm_act(relu)
//   batch_norm -> add(residual) [-> relu]       ==>  batch_norm_act(residual [, relu])
//   batch_norm -> hardtanh(0, 6) | relu6 | silu ==>  batch_norm_act(relu6 | silu)
//   batch_norm                                  ==>  batch_norm_act
#pragma once

#include "limbeck/graph/passes/fusion.h"

namespace limbeck::passes {

/// Fuses batch norms over [N, C, H, W] that take batch statistics in this run; their mode is then fixed. The fused node
/// stands where the last one stood and keeps its value. Left alone, with a reason in `report`: frozen batch norms,
/// other ranks. A normalised value with another use, tapped, or returned ends the chain at itself. Idempotent. Returns
/// whether anything changed.
bool fuse_batch_norm(graph::Graph& graph, const FusionScope& scope, FusionReport& report);

}  // namespace limbeck::passes
