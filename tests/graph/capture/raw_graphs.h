// Exports with writes, built by hand, and what Python would make of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "limbeck/graph/builder.h"
#include "limbeck/graph/capture/lower.h"

namespace limbeck::testing {

/// Builds a graph with the builder, in-place ops included, and fills in the strides that running it gives.
/// `build` returns the outputs.
capture::Export raw_export(const std::function<std::vector<graph::ValueId>(graph::Builder&)>& build);

struct EagerRun {
  std::vector<at::Tensor> outputs;
  std::vector<std::pair<std::string, at::Tensor>> buffers;  // after the run
};

/// Runs the nodes in order on `inputs`, writing where ops write, as eager does. Inputs and buffers are copied first.
EagerRun run_eagerly(const capture::Export& source, const std::vector<at::Tensor>& inputs);

/// Runs a functional export in eval mode and applies its state writes to copies.
EagerRun run_functionally(const capture::Export& source, const std::vector<at::Tensor>& inputs);

}  // namespace limbeck::testing
