// Internal to limbeck/graph: what call_node.cpp, the one file that sees ATen's dispatcher, tells the op table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace c10 {
struct FunctionSchema;
}

namespace limbeck::graph {

struct DispatcherEntry {
  const void* handle = nullptr;  // of call_node; null when libtorch has no such op
  const c10::FunctionSchema* schema = nullptr;
  bool is_random = false;          // tag nondeterministic_seeded
  bool is_data_dependent = false;  // tags dynamic_output_shape and data_dependent_output
};

/// Looks up "aten::add.Tensor" in libtorch's registry.
DispatcherEntry find_dispatcher_entry(std::string_view name);

/// Names of all ops in libtorch's registry.
std::vector<std::string> dispatcher_op_names();

}  // namespace limbeck::graph
