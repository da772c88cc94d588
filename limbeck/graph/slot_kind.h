// Internal to limbeck/graph: which kinds of argument a schema slot takes.
#pragma once

#include "limbeck/graph/value.h"

namespace c10 {
struct Type;
}

namespace limbeck::graph {

/// True when `argument` can be boxed for a slot of `type` (the schema's real type). `has_fixed_length`: a lone int
/// fills the list. Values fit wherever a value of their kind may go.
bool fits_slot(const Argument& argument, const c10::Type& type, bool has_fixed_length);

/// "None", "a value", "an int", ... for messages.
const char* argument_kind(const Argument& argument);

}  // namespace limbeck::graph
