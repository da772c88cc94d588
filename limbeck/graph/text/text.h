// A graph's text form: printed for people, parsed back for tests and files.
//
//   graph resnet(%x: f32[B, 3, 32, 32])
//     param %conv1.weight: f32[16, 3, 3, 3] grad
//     buffer %bn1.running_mean: f32[16]
//     param head.weight: f32[10, 16] grad = embed.weight         tied; not read by any node, so without %
//     %conv2d: f32[B, 16, 32, 32] = aten::conv2d(%x, %conv1.weight, None, [1, 1], [1, 1], [1, 1], 1)  # conv1
//     %relu: f32[B, 16, 32, 32] = aten::relu(%conv2d)  # relu@1 {in_place}
//     train: (out=%relu)
//     eval: (out=%relu)
//     values relu@1 = (%relu)
//     scope relu: "torch.nn.modules.activation.ReLU"
//
// In place of a full argument list the parser takes named arguments and fills in the schema's defaults, and in place of
// a type it takes nothing and infers it: %y = aten::conv2d(%x, %w, padding=[1, 1]).
#pragma once

#include <string>
#include <string_view>

#include "limbeck/graph/graph.h"

namespace limbeck::graph {

/// Complete: everything of the graph but the tensors' values; print(parse(print(g))) == print(g). Throws Unsupported
/// for dtypes that have no text.
std::string print(const Graph& graph);

/// Reads print's form. Parameters come as zeros, at most 4 GiB together (tests fill them; the .lmb reader puts in the
/// file's tensors). Throws InvalidArgument "line 12, column 7: ..."; limits depth and counts, since the text may come
/// from a hostile file. The graph is not verified.
Graph parse(std::string_view text);

}  // namespace limbeck::graph
