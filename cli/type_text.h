// Types of values as tables and messages show them.
#pragma once

#include <string>

#include "limbeck/graph/value.h"

namespace limbeck::cli {

/// "f32[B, 3, 224, 224]", "int(B)", "list(f32[B, 8], f32[B, 8])", ...
std::string type_text(const graph::Type& type);

}  // namespace limbeck::cli
