// Which outputs of an op share memory with its arguments, as Python's run at export had it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "limbeck/graph/graph.h"

namespace limbeck::capture {

/// "aten::add_.Tensor" -> "add_"; empty for ops of other namespaces.
std::string_view short_name(const graph::OpInfo& op);

/// The slot of `node` whose tensor its outputs are views of (or are themselves: `contiguous` of a contiguous tensor,
/// `dropout` in eval mode), for the sizes in `hints`; nullopt when the outputs are fresh. Types must have strides.
std::optional<std::size_t> viewed_slot(const graph::Graph& graph, const graph::Node& node,
                                       const graph::Bindings& hints);

/// True when the output is fresh at export but may be its input's memory for other sizes or in the other mode.
bool may_alias(const graph::Node& node);

/// The slot that the op writes by its schema (`relu_`: 0), else nullopt. Throws Unsupported for ops that write several
/// arguments or an `out`.
std::optional<std::size_t> written_slot(const graph::OpInfo& op);

/// The functional op that computes what the in-place `op` writes ("aten::relu" for "aten::relu_"), or null.
const graph::OpInfo* functional_twin(const graph::OpInfo& op);

/// True for in-place ops that only change sizes and strides of their argument (`squeeze_`, `t_`).
bool is_in_place_view(const graph::OpInfo& op);

}  // namespace limbeck::capture
