// Keyword arguments of Python as options of the library, by the same description that recipes are read by.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "limbeck/recipe/fields.h"

namespace limbeck::python {

/// Names of arguments with their values as JSON text.
using Keywords = std::vector<std::pair<std::string, std::string>>;

/// Fills what `describe` describes. `function` is what messages name the place by: "fit: 'epochs' must be an integer,
/// got 'x'". Throws InvalidArgument for unknown names (naming the nearest) and values of another kind.
void read_keywords(const std::string& function, const Keywords& keywords, const recipe::Fields::Describe& describe);

}  // namespace limbeck::python
