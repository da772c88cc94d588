// Recipes from YAML: strict keys, types and references, every error with file, line and the nearest valid name.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "limbeck/core/json/json.h"
#include "limbeck/recipe/options.h"
#include "limbeck/recipe/yaml.h"

namespace limbeck::recipe {

/// A value put into a recipe from outside its text, such as by --set; see set_yaml.
struct Override {
  std::string path, value;
  std::string origin = "--set " + path;  // what messages call its place
};
using Overrides = std::vector<Override>;

/// Reads and checks a recipe. Throws IoError when the file cannot be read, InvalidArgument for everything else.
Recipe read_recipe(const std::filesystem::path& path, const Overrides& overrides = {});
/// As read_recipe, from text; `source` names it in messages, empty: text that a program made.
Recipe parse_recipe(std::string_view text, const std::string& source, const Overrides& overrides = {});

/// Fills options from a mapping by their description. Throws InvalidArgument with the place for unknown keys (naming
/// the nearest), wrong types, values out of a choice and missing required keys.
void read_fields(const YamlDocument& document, const YamlNode& mapping, const Fields::Describe& describe);

/// All effective options, defaults included: for reports and cache keys. Equal options give equal text.
core::Json effective_options(const Fields::Describe& describe);
core::Json effective_options(const Recipe& recipe);

/// The JSON schema of a mapping that read_fields reads.
core::Json options_schema(const Fields::Describe& describe);

/// The JSON schema (draft 2020-12) of recipes, as published in docs/recipe.schema.json.
core::Json recipe_schema();

}  // namespace limbeck::recipe
