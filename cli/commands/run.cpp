#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/recipe_run.h"
#include "limbeck/core/error.h"
#include "limbeck/recipe/read.h"

namespace limbeck::cli {

int run_command(const RunArguments& arguments) {
  recipe::Recipe recipe;
  try {
    recipe::Overrides overrides;
    for (const auto& [path, value] : arguments.settings) overrides.push_back({path, value});
    recipe = recipe::read_recipe(arguments.recipe, overrides);
  } catch (const InvalidArgument& error) {
    fmt::print(stderr, "limbeck: {}\n", error.what());
    return kWrongUsage;
  }
  return arguments.dry_run ? show_plan(recipe, arguments.output)
                           : run_and_show(recipe, arguments.run, arguments.output);
}

}  // namespace limbeck::cli
