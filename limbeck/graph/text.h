// A graph's text form: printed for people, parsed back for tests and files.
//
//   graph resnet(%x: f32[B, 3, 32, 32])
//     param %conv1.weight: f32[16, 3, 3, 3]
//     buffer %bn1.running_mean: f32[16]
//     %conv2d: f32[B, 16, 32, 32] = aten::conv2d(%x, %conv1.weight, None, [1, 1], [1, 1], [1, 1], 1)  # conv1
//     ...
//   train: (out=%linear)
//   eval: (out=%linear)
#pragma once

#include <string>
#include <string_view>

#include "limbeck/graph/graph.h"

namespace limbeck::graph {

/// Complete: everything of the graph but the tensors' values; parse(print(g)) prints the same.
std::string print(const Graph& graph);

/// Reads print's form. Parameters come as zeros (tests fill them; the .lmb reader puts in the file's tensors).
/// Throws InvalidArgument "line 12, column 7: ..."; limits depth and counts, since the text may come from a hostile
/// file.
Graph parse(std::string_view text);

}  // namespace limbeck::graph
