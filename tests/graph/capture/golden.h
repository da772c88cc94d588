// The small archives in data/, written by tests/export/make_golden.py.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck::testing {

/// Path of data/NAME.
std::string golden_file(const std::string& name);

/// Tensors of data/NAME.safetensors under "PREFIX0", "PREFIX1", ...
std::vector<at::Tensor> golden_tensors(const std::string& name, const std::string& prefix);

/// Outputs of `graph` in eval mode on the golden inputs of NAME.
std::vector<at::Tensor> run_golden(const graph::Graph& graph, const std::string& name);

/// Number of live nodes that run `op`.
std::size_t count_op(const graph::Graph& graph, std::string_view op);

}  // namespace limbeck::testing
