// Values that depend on parameters and buffers alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <optional>

#include "limbeck/graph/graph.h"

namespace limbeck::capture {

/// Computes values of one graph from its name table, each once.
class Evaluator {
 public:
  explicit Evaluator(const graph::Graph& graph) : graph_(graph) {}

  /// nullopt when the value depends on an input, a symbolic size or random numbers, or is too expensive for a check
  /// (more than 10,000 nodes, or a tensor beyond 256 MiB). Flags are taken as they stand. Writes no buffer.
  std::optional<at::Tensor> evaluate(graph::ValueId value);

 private:
  bool compute(graph::NodeId id);
  bool is_computable(graph::NodeId id) const;

  const graph::Graph& graph_;
  std::map<graph::ValueId, at::Tensor> values_;
};

}  // namespace limbeck::capture
