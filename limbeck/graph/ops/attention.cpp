// Attention: softmax(q kᵀ · scale + mask) v. MACs count both products in full, causal or not.

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

/// query [.., L, E], key [.., S, E], value [.., S, Ev] -> [.., L, Ev]
std::vector<Type> shape_attention(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  for (const char* name : {"query", "key", "value"}) view.expect_rank(name, 2, 64);
  view.expect_same_dtype("query", "key");
  view.expect_same_dtype("query", "value");
  const Sizes &query = view.sizes("query"), &key = view.sizes("key"), &value = view.sizes("value");
  view.expect_equal(key.back(), query.back(), "last axis of 'key'");
  view.expect_equal(value[value.size() - 2], key[key.size() - 2], "number of values");
  const auto batch = broadcast({query.begin(), query.end() - 2}, {value.begin(), value.end() - 2});
  if (!batch) return {};
  Sizes sizes = *batch;
  sizes.push_back(query[query.size() - 2]);
  sizes.push_back(value.back());
  return {tensor_like(view.tensor("query"), std::move(sizes))};
}

IntExpr macs_of_attention(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes &query = view.sizes("query"), &key = view.sizes("key"), &value = view.sizes("value");
  return product({query.begin(), query.end() - 1}) * key[key.size() - 2] * (query.back() + value.back());
}

}  // namespace

void add_attention_rows(TraitsTable& table) {
  // scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
  table["aten::scaled_dot_product_attention"] = {.is_random = true,
                                                 .mode_arguments = {{4, ModeKind::probability}},
                                                 .shape = shape_attention,
                                                 .macs = macs_of_attention};
  table["limbeck::scaled_dot_product_attention"] = table["aten::scaled_dot_product_attention"];
}

}  // namespace limbeck::graph
