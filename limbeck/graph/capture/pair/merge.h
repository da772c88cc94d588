// Merging a train and an eval export of one model into one graph for both modes.
#pragma once

#include "limbeck/graph/capture/lower.h"

namespace limbeck::capture {

/// Both exports functionalised. Nodes are matched by longest common subsequence of execution order on (innermost scope
/// with its call number, op, stack trace), never by value name. Differences become mode arguments where the op table
/// names them, else `limbeck::by_mode`; what only one export has belongs to its mode. Throws InvalidArgument when the
/// two are no exports of one model or when the merged graph, sliced by a mode, is not that export node for node.
Export merge(const Export& eval, const Export& train);

}  // namespace limbeck::capture
