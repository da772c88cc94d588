// The passes that make a graph's training runs fast, in their order. The fused graph is a run's private copy: it shares
// parameters and buffers with the model, and neither files nor users see it.
#pragma once

#include "limbeck/graph/passes/fusion.h"

namespace limbeck::fused {

/// Fuses what it can of `graph` for runs with the modes and taps of `scope`. Outputs, gradients and written buffers
/// stay those of the unfused graph up to rounding; docs/overview.md says how far.
passes::FusionReport fuse_for_training(graph::Graph& graph, const passes::FusionScope& scope);

}  // namespace limbeck::fused
