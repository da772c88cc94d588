// Running a recipe from the command line: progress while it runs, the table at the end.
#pragma once

#include "cli/arguments.h"
#include "limbeck/recipe/options.h"

namespace limbeck::cli {

/// Runs and prints the comparison of the last evaluate stage. Returns the exit code; SIGINT and SIGTERM finish the
/// step, save and give 130.
int run_and_show(const recipe::Recipe& recipe, const RunOptions& options, const OutputOptions& output);

/// Prints what a run would do.
int show_plan(const recipe::Recipe& recipe, const OutputOptions& output);

}  // namespace limbeck::cli
