// Functionalisation by alias sets: every write that Python made becomes a new value.
//
//   y = relu_(x)                    ==>  y = relu(x)          [was_in_place]
//   v = slice(x); v.copy_(z)        ==>  x' = slice_scatter(x, z); later uses of x take x', of v a slice of x'
//   num_batches_tracked.add_(1)     ==>  state write num_batches_tracked = add(num_batches_tracked, 1)
//
// Writes that schemas don't declare (batch_norm's running statistics) stay with their op: the op table lists them.
// Writes into inputs change later uses and leave the caller's tensor alone.
#pragma once

#include "limbeck/graph/capture/lower.h"

namespace limbeck::capture {

/// The same export without writes. State writes have `when` both: the export's own mode, whichever that is. Throws
/// Unsupported naming op and scope for a write that values can't express.
Export functionalize(const Export& source);

}  // namespace limbeck::capture
