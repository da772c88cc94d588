// The op table: everything Limbeck knows about an op stands in its row and nowhere else.
// A row exists for every ATen op on demand (its schema comes from libtorch's registry) and for Limbeck's own ops
// (`limbeck::input`, `limbeck::parameter`, `limbeck::drop_path`, `limbeck::by_mode`). An op without a trait is a
// barrier: passes leave it alone and say so.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "limbeck/graph/value.h"

namespace c10 {
struct FunctionSchema;
struct IValue;
}  // namespace c10

namespace limbeck::graph {

class Graph;
struct Node;

/// How an argument follows train() and eval().
enum class ModeKind : uint8_t {
  flag,         // bool: true in train mode, false in eval mode (batch_norm.training, dropout.train)
  probability,  // float: its value in train mode, 0 in eval mode (attention's dropout_p, lstm's dropout)
};
struct ModeArgument {
  uint16_t slot;
  ModeKind kind;
};

/// A tensor argument that the kernel writes although its schema does not say so, while `when_flag` holds.
struct HiddenWrite {
  uint16_t slot;       // the tensor written (running_mean)
  uint16_t when_flag;  // the bool slot that must be true for it (training)
};

/// Types of a node's outputs from its arguments. Throws InvalidArgument (with the node's scope) when shapes do not fit.
/// An empty result means that the rule cannot tell, and execution on zeros decides.
using ShapeRule = std::vector<Type> (*)(const Graph& graph, const Node& node);
/// Multiply-adds of one run of the node: convolutions, matrix products and attention; 0 for everything else.
using MacsRule = IntExpr (*)(const Graph& graph, const Node& node);

/// What torch.nn.functional asks of a call's boxed arguments before it reaches the op, which does not ask itself.
/// Throws c10::Error.
using ArgumentCheck = void (*)(const std::vector<c10::IValue>& stack);

struct Traits {
  bool is_elementwise = false;     // output element i depends on element i of the (broadcast) inputs alone
  bool is_random = false;          // draws from the default generator, those with a mode argument only in train mode
  bool is_data_dependent = false;  // shape or number of outputs depends on data; from libtorch's tag
  bool has_side_effect = false;    // must run although nothing uses its outputs
  std::vector<ModeArgument> mode_arguments{};
  std::vector<HiddenWrite> hidden_writes{};
  ShapeRule shape = nullptr;
  MacsRule macs = nullptr;
  ArgumentCheck check = nullptr;
};

/// Runs the op on a stack of arguments in schema order and leaves its outputs there.
using Kernel = void (*)(std::vector<c10::IValue>& stack);

struct OpInfo {
  std::string name;                             // "aten::conv2d", "aten::add.Tensor", "limbeck::drop_path"
  const c10::FunctionSchema* schema = nullptr;  // static lifetime
  Traits traits{};
  Kernel kernel = nullptr;                 // Limbeck's own ops; null: through ATen's dispatcher
  const void* dispatcher_entry = nullptr;  // call_node's handle; null for own ops

  bool is_own() const { return kernel != nullptr || dispatcher_entry == nullptr; }
  bool is(std::string_view full_name) const { return name == full_name; }
  /// Position of the schema argument `argument`; throws InternalError when the op has none of that name.
  std::size_t slot(std::string_view argument) const;
  /// As slot(), or nullopt.
  std::optional<std::size_t> find_slot(std::string_view argument) const;
};

/// The row of `name` ("aten::conv2d"; "aten::add.Tensor" for an overload). Rows live as long as the process.
/// Throws Unsupported for an op that neither this libtorch nor Limbeck has, naming the nearest ones. Thread-safe.
const OpInfo& op_info(std::string_view name);

/// As op_info, or null for an unknown op.
const OpInfo* find_op(std::string_view name);

/// Traits and rules of `name` from the table in op_table.cpp; default traits when it has no row there.
Traits traits_of(std::string_view name);

}  // namespace limbeck::graph
