// Traits and rules of ops. Rows stand in ops/, one file per family, and name only what differs from a default: no trait
// means barrier.

#include "limbeck/graph/op.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

TraitsTable make_table() {
  TraitsTable table;
  add_convolution_rows(table);
  add_norm_rows(table);
  add_pooling_rows(table);
  add_matmul_rows(table);
  add_attention_rows(table);
  add_recurrent_rows(table);
  add_elementwise_rows(table);
  add_conversion_rows(table);
  add_view_rows(table);
  add_joining_rows(table);
  add_indexing_rows(table);
  add_resampling_rows(table);
  add_reduction_rows(table);
  add_random_rows(table);
  return table;
}

const TraitsTable& table() {
  static const TraitsTable* const rows = new TraitsTable(make_table());
  return *rows;
}

}  // namespace

Traits traits_of(std::string_view name) {
  const auto row = table().find(name);
  return row == table().end() ? Traits{} : row->second;
}

std::vector<std::string> op_table_names() {
  std::vector<std::string> names;
  for (const auto& [name, traits] : table()) names.push_back(name);
  return names;
}

}  // namespace limbeck::graph
