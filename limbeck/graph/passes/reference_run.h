// A plain run of a graph, op by op, without gradients: what passes prove themselves with.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

/// Seeded inputs for the graph's types: normal for floating point, 0 or 1 for integers and bools (ones in the first
/// place of each row). Sizes must be constant under `bindings`.
std::vector<at::Tensor> random_inputs(const graph::Graph& graph, const graph::Bindings& bindings, uint64_t seed);

/// Tensor outputs of one run in `mode`, in order. Buffers stay as they are. Throws what the ops throw.
std::vector<at::Tensor> reference_run(const graph::Graph& graph, graph::Mode mode,
                                      const std::vector<at::Tensor>& inputs, const graph::Bindings& bindings);

}  // namespace limbeck::passes
