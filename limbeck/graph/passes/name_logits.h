// Models with several outputs, of which one classifies: what runs, trains and measures classifiers takes the output
// that is named "logits".
#pragma once

#include <string_view>

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

/// outputs {aux, main}  ==>  outputs {aux, logits}
/// Names the output `name` "logits", in both modes; one that had that name is then "logits.other". Keys of the output
/// tree stay. False where it is named so already. Throws InvalidArgument, naming those that there are, for no output.
bool name_logits(graph::Graph& graph, std::string_view name);

}  // namespace limbeck::passes
