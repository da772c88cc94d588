// The text of sizes in a torch.export file: sympy's srepr since 2.9 ("Mul(Integer(16), Symbol('s77', ...))"), infix
// before ("16*s77").
#pragma once

#include <string_view>

#include "limbeck/graph/int_expr.h"

namespace limbeck::capture {

/// Throws IoError for text that is neither, Unsupported for a function that integer expressions do not have.
graph::IntExpr parse_sympy(std::string_view text);

}  // namespace limbeck::capture
