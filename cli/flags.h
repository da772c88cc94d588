// Flags made from the options' descriptions, so that a key of a recipe and a flag of a verb are one and the same.
#pragma once

#include <string>
#include <vector>

#include "limbeck/recipe/fields.h"

namespace limbeck::cli {

struct Flag {
  std::string path;  // "optimizer.lr"
  std::string help;
  std::string default_text;  // as the help shows it; empty: none
};

/// One flag per plain field, sections joined by dots; lists of mappings have none.
std::vector<Flag> flags_of(const recipe::Fields::Describe& describe);

}  // namespace limbeck::cli
