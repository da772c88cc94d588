#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/recipe_run.h"
#include "cli/sweep.h"
#include "limbeck/core/error.h"

namespace limbeck::cli {

int run_command(const RunArguments& arguments) {
  recipe::TrialPlan plan;
  try {
    recipe::Overrides overrides;
    for (const auto& [path, value] : arguments.settings) overrides.push_back({path, value});
    if (!arguments.sweeps.empty()) overrides.push_back({"sweep", sweep_text(arguments.sweeps, ""), "--sweep"});
    plan = recipe::read_trials(arguments.recipe, overrides);
  } catch (const InvalidArgument& error) {
    fmt::print(stderr, "limbeck: {}\n", error.what());
    return kWrongUsage;
  }
  return arguments.dry_run ? show_plan(plan, arguments.output) : run_and_show(plan, arguments.run, arguments.output);
}

}  // namespace limbeck::cli
