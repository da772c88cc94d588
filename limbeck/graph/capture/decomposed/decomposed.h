// Graphs after ExportedProgram.run_decompositions(), raised back: core ATen has no conv2d, linear, batch_norm or
// attention, and some of what it has instead is not in CPU autocast's list or can't be trained.
//
//   convolution                                    ==>  conv2d, conv_transpose2d, ...
//   _native_batch_norm_legit_functional + writes   ==>  batch_norm (running statistics are its hidden writes)
//   native_layer_norm, native_group_norm           ==>  layer_norm, group_norm
//   sigmoid, mul; add, clamp, clamp, mul, div       ==>  silu; hardswish, hardsigmoid
//   view, permute(W), addmm, view                  ==>  linear
//   expand, view, bmm, view                        ==>  matmul
//   mul, mul, matmul, add, _softmax, matmul        ==>  scaled_dot_product_attention
//
// What has no counterpart stays: it runs as it is. Dropout that the decomposition removed is reported.
#pragma once

#include "limbeck/graph/capture/lower.h"

namespace limbeck::capture {

/// Raises a functional export in place.
void raise_decomposed(Export& source);

/// The steps of raise_decomposed, in order.
void raise_convolutions_and_norms(Export& source);
void raise_activations(Export& source);
void raise_matmuls(Export& source);
void raise_attention(Export& source);

/// Building and replacing nodes for them.
class Raiser {
 public:
  explicit Raiser(Export& source) : source_(source), graph_(source.graph) {}

  graph::Graph& graph() { return graph_; }
  const graph::Node& node(graph::NodeId id) const { return graph_.node(id); }
  bool is(graph::ValueId value, std::string_view op) const { return graph_.node(value.node).op->is(op); }
  /// The value in slot `slot` of the node that made `value`, or nullopt for a constant.
  std::optional<graph::ValueId> operand(graph::ValueId value, std::size_t slot) const;
  const graph::Sizes* sizes(graph::ValueId value) const;
  /// Nothing but one argument of one node takes it.
  bool is_used_once(graph::ValueId value) const;
  /// Puts a new node of type `type` before `position`, with its scope, for all uses of `old_value`.
  void replace(graph::NodeId position, graph::ValueId old_value, const char* op,
               const std::vector<std::pair<std::string, graph::Argument>>& arguments, std::size_t num_outputs = 1);

 private:
  Export& source_;
  graph::Graph& graph_;
};

}  // namespace limbeck::capture
