// Ops that draw random numbers in train mode. Others that draw (rand, bernoulli) carry libtorch's own tag.

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

std::vector<Type> shape_of_first(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const TensorType& input = view.tensor(node.op->find_slot("input") ? "input" : "self");
  return {tensor_like(input, *input.sizes)};
}

/// (output, mask)
std::vector<Type> shape_native_dropout(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const TensorType& input = view.tensor("input");
  return {tensor_like(input, *input.sizes), tensor_like(input, *input.sizes, at::kBool)};
}

Traits random_in_train(uint16_t flag_slot, bool is_elementwise, ShapeRule shape) {
  return {.is_elementwise = is_elementwise,
          .is_random = true,
          .mode_arguments = {{flag_slot, ModeKind::flag}},
          .shape = shape};
}

}  // namespace

void add_random_rows(TraitsTable& table) {
  for (const char* op : {"aten::dropout", "aten::alpha_dropout"}) {
    table[op] = random_in_train(2, true, shape_of_first);  // (input, p, train)
  }
  for (const char* op : {"aten::feature_dropout", "aten::feature_alpha_dropout"}) {
    table[op] = random_in_train(2, false, shape_of_first);  // one draw for a whole channel
  }
  table["aten::rrelu"] = random_in_train(3, true, shape_of_first);  // (self, lower, upper, training, generator)
  table["aten::native_dropout"] = random_in_train(2, true, shape_native_dropout);
  // drop_path(self, p, sampling, scale, per_sample, train)
  table["limbeck::drop_path"] = random_in_train(5, false, shape_of_first);
  for (const char* op : {"aten::rand_like", "aten::randn_like", "aten::bernoulli", "aten::bernoulli.p"}) {
    table[op].shape = shape_of_first;
  }
}

}  // namespace limbeck::graph
