// Recurrent layers: op(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first).
// input [T, B, I] (batch_first: [B, T, I]) or [T, I]; hx [D·layers, B, H].

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

/// Hidden size and, of an LSTM with projection, the size of what a step gives out.
struct Widths {
  IntExpr output, directions;
};

Widths widths_of(const NodeView& view, const Sizes& state) {
  return {.output = state.back(), .directions = view.flag("bidirectional") ? 2 : 1};
}

Type sequence_type(const NodeView& view, const Sizes& state) {
  const Widths widths = widths_of(view, state);
  Sizes sizes = view.sizes("input");
  sizes.back() = widths.output * widths.directions;
  return tensor_like(view.tensor("input"), std::move(sizes));
}

std::vector<Type> shape_lstm(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const std::vector<const TensorType*> states = view.tensors("hx");
  if (states.size() != 2) view.refuse("'hx' must hold two states, got {}", states.size());
  view.expect_rank("input", 2, 3);
  return {sequence_type(view, *states[0]->sizes), tensor_like(view.tensor("input"), *states[0]->sizes),
          tensor_like(view.tensor("input"), *states[1]->sizes)};
}

std::vector<Type> shape_gru(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("input", 2, 3);
  return {sequence_type(view, view.sizes("hx")), tensor_like(view.tensor("input"), view.sizes("hx"))};
}

/// Every weight matrix is used once per step and sample.
IntExpr macs_of_recurrent(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  IntExpr weights = 0;
  for (const TensorType* parameter : view.tensors("params")) {
    if (parameter->sizes->size() == 2) weights = weights + product(*parameter->sizes);
  }
  const Sizes& input = view.sizes("input");
  return weights * product({input.begin(), input.end() - 1});
}

}  // namespace

void add_recurrent_rows(TraitsTable& table) {
  const Traits common{.is_random = true, .mode_arguments = {{6, ModeKind::flag}}, .macs = macs_of_recurrent};
  table["aten::lstm.input"] = common;
  table["aten::lstm.input"].shape = shape_lstm;
  for (const char* op : {"aten::gru.input", "aten::rnn_tanh.input", "aten::rnn_relu.input"}) {
    table[op] = common;
    table[op].shape = shape_gru;
  }
}

}  // namespace limbeck::graph
