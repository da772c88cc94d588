// Constant folding: chains that depend on neither inputs nor parameters nor sizes become one stored tensor.
//
//   arange(16) -> unsqueeze -> sub(., unsqueeze') -> masked_fill  ==>  buffer "SCOPE.constant"
#pragma once

#include <cstdint>
#include <functional>

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

struct FoldOptions {
  /// Which entries of the name table are constants; none by default: buffers may be loaded anew.
  std::function<bool(const graph::Parameter&)> is_constant{};
  int64_t max_bytes = int64_t{64} << 20;  // no larger tensor is computed: sizes come from untrusted files
};

/// Runs foldable chains once and stores what other nodes use of them as non-persistent buffers. An op without a known
/// bound on the size of its output stays. Idempotent. Returns whether anything changed.
bool fold_constants(graph::Graph& graph, const FoldOptions& options = {});

}  // namespace limbeck::passes
