// Traits and rules of ops, one row each. Rows name only what differs from a default: no trait means barrier.

#include <ATen/core/function_schema.h>

#include <map>
#include <string>

#include "limbeck/graph/op.h"

namespace limbeck::graph {

namespace {

using Table = std::map<std::string, Traits, std::less<>>;

Traits random_mode(std::vector<ModeArgument> mode_arguments) {
  return {.is_random = true, .mode_arguments = std::move(mode_arguments), .hidden_writes = {}};
}

void add_mode_rows(Table& table) {
  // batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled)
  table["aten::batch_norm"].mode_arguments = {{5, ModeKind::flag}};
  table["aten::batch_norm"].hidden_writes = {{3, 5}, {4, 5}};
  // instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled)
  table["aten::instance_norm"].mode_arguments = {{5, ModeKind::flag}};
  table["aten::instance_norm"].hidden_writes = {{3, 5}, {4, 5}};
  for (const char* dropout :
       {"aten::dropout", "aten::feature_dropout", "aten::alpha_dropout", "aten::feature_alpha_dropout"}) {
    table[dropout] = random_mode({{2, ModeKind::flag}});  // (input, p, train)
  }
  table["aten::rrelu"] = random_mode({{3, ModeKind::flag}});           // (self, lower, upper, training, generator)
  table["aten::native_dropout"] = random_mode({{2, ModeKind::flag}});  // (input, p, train)
  table["aten::scaled_dot_product_attention"] =
      random_mode({{4, ModeKind::probability}});  // (q, k, v, mask, dropout_p, ...)
  for (const char* recurrent :
       {"aten::lstm.input", "aten::gru.input", "aten::rnn_tanh.input", "aten::rnn_relu.input"}) {
    table[recurrent] =
        random_mode({{6, ModeKind::flag}});  // (input, hx, params, has_biases, layers, dropout, train, ...)
  }
  table["limbeck::drop_path"] = random_mode({{5, ModeKind::flag}});
}

Table make_table() {
  Table table;
  add_mode_rows(table);
  return table;
}

}  // namespace

Traits traits_of(std::string_view name) {
  static const Table* const table = new Table(make_table());
  const auto row = table->find(name);
  return row == table->end() ? Traits{} : row->second;
}

}  // namespace limbeck::graph
