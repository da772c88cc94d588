// The only place where an op is run by name: arguments become a boxed stack and go through ATen's dispatcher, so that
// autograd, autocast and every device see the call exactly as they would see Python's.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "limbeck/graph/graph.h"

namespace c10 {
struct IValue;
}

namespace limbeck::graph {

using Stack = std::vector<c10::IValue>;

/// Runs `op` on a full stack of arguments in schema order; its outputs replace them.
void call_op(const OpInfo& op, Stack& stack);

/// The schema's type of one slot decides how a constant is boxed: a number for a Tensor slot becomes a 0-dim wrapped
/// number, an int for a float slot a double, Tensor[] for Tensor?[] a list of optionals.
/// `value_of(ValueId)` gives the run's value; `bindings` give sizes. Throws InvalidArgument naming op, slot and both
/// kinds.
c10::IValue box_argument(const OpInfo& op, std::size_t slot, const Argument& argument,
                         const std::function<const c10::IValue&(ValueId)>& value_of, const Bindings& bindings);

/// box_argument for all slots of `node`, then call_op. Adds op and scope to what the kernel throws.
/// Mode arguments are taken as they stand in the node. One IValue per output of the node: a returned list is taken
/// apart.
std::vector<c10::IValue> call_node(const Graph& graph, const Node& node,
                                   const std::function<const c10::IValue&(ValueId)>& value_of,
                                   const Bindings& bindings);

/// Value of a mode argument in `mode`: flags become its truth, probabilities 0 in eval mode.
Argument mode_argument_value(const ModeArgument& argument, const Argument& stored, Mode mode);

/// The name of the op's in-place twin that takes the same arguments ("aten::relu_" for "aten::relu"), or null.
const OpInfo* in_place_twin(const OpInfo& op);

}  // namespace limbeck::graph
