// Frees the batch size of a graph that was exported with a fixed one: sizes that derive from the batch become
// expressions of the symbol B.
//
//   x: f32[1, 3, 32, 32]   view(x, [1, -1])   expand(token, [1, -1, -1])
//     ==>  x: f32[B, 3, 32, 32]   view(x, [B, -1])   expand(token, [B, -1, -1])
//
// Shapes are factored along the dataflow: an axis is a product in which the batch has a place. Where an op demands the
// batch of an operand that does not have it (cat of an expanded class token), the demand travels backwards.
#pragma once

#include <string>

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

/// The symbol that the pass gives to the batch; it is not to be used in the graph before.
inline constexpr const char* kFreeBatchSymbol = "B";

struct BatchAxisResult {
  bool is_freed = false;
  std::string reason;  // why not: op, scope and what to export instead
};

/// Makes axis 0 of every input whose size is the first input's batch free. The new graph replaces `graph` only when
/// both modes prove right (batch_proof.h): a batch of three equals three single runs, and the old batch size gives what
/// it gave. Where they don't, or where train mode has what cannot be proved (a loss over the batch), `graph` stays as
/// it was. A graph that has symbols already is left alone, without a reason.
BatchAxisResult free_batch_axis(graph::Graph& graph);

}  // namespace limbeck::passes
