// Internal to limbeck/graph: the rows of the op table, one file per family of ops.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "limbeck/graph/op.h"

namespace limbeck::graph {

using TraitsTable = std::map<std::string, Traits, std::less<>>;

void add_convolution_rows(TraitsTable& table);
void add_norm_rows(TraitsTable& table);
void add_pooling_rows(TraitsTable& table);
void add_matmul_rows(TraitsTable& table);
void add_attention_rows(TraitsTable& table);
void add_recurrent_rows(TraitsTable& table);
void add_elementwise_rows(TraitsTable& table);
void add_conversion_rows(TraitsTable& table);
void add_view_rows(TraitsTable& table);
void add_joining_rows(TraitsTable& table);
void add_indexing_rows(TraitsTable& table);
void add_resampling_rows(TraitsTable& table);
void add_reduction_rows(TraitsTable& table);
void add_random_rows(TraitsTable& table);

/// Names of all ops that have a row, for tests that hold every rule against execution.
std::vector<std::string> op_table_names();

}  // namespace limbeck::graph
