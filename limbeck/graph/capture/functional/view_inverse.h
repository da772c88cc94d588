// The inverse of a view: what the viewed tensor becomes when the view is written.
//
//   v = select(x, 0, 2); v.add_(1)   ==>   v' = add(v, 1); x' = select_scatter(x, v', 0, 2)
#pragma once

#include <functional>

#include "limbeck/graph/builder.h"
#include "limbeck/graph/graph.h"

namespace limbeck::capture {

struct WrittenView {
  const graph::Graph* source = nullptr;  // the graph that `view` stands in
  const graph::Node* view = nullptr;     // the op that made the view
  uint32_t output = 0;                   // which of its outputs was written
  graph::Type base_type;                 // of the viewed tensor
  graph::ValueId base;                   // its value before the write, in the new graph
  graph::ValueId written;                // the view's value after it, in the new graph
};

/// Appends a call to the new graph and returns its output, of the base's type.
using AppendCall = std::function<graph::ValueId(const char* op, const graph::NamedArguments& arguments)>;

/// The viewed tensor's value after the write. Throws Unsupported naming op and scope for views without an inverse
/// (expand: several elements share memory).
graph::ValueId invert_view(const WrittenView& write, const AppendCall& append);

}  // namespace limbeck::capture
