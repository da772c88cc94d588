// What speaks against a freed batch size: a freed graph must compute, in both modes, what the fixed one did, and treat
// the samples of a batch as so many single runs. Randomness is off and norms work as in eval mode, so that this can be
// decided by running.
#pragma once

#include <cstdint>
#include <string>

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

/// "" when, on seeded random inputs, `freed` equals `fixed` at the batch size `batch`, and a batch of three equals
/// three single runs; else what differs, or what no run can decide: an output of train mode or a state write that is
/// made of the batch and has no axis for it, random numbers drawn once for all samples. `freed` is `fixed` with the
/// batch as kFreeBatchSymbol. Throws what the ops throw.
std::string batch_disproof(const graph::Graph& fixed, const graph::Graph& freed, int64_t batch);

}  // namespace limbeck::passes
