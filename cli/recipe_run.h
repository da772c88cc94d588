// Running a recipe from the command line: progress while it runs, the table at the end.
#pragma once

#include "cli/arguments.h"
#include "limbeck/recipe/trials.h"

namespace limbeck::cli {

/// Runs and prints the comparison of the last evaluate stage, or, of several runs, the table of all. Returns the exit
/// code; SIGINT and SIGTERM finish the step, save and give 130.
int run_and_show(const recipe::TrialPlan& plan, const RunOptions& options, const OutputOptions& output);

/// Prints what a run would do.
int show_plan(const recipe::TrialPlan& plan, const OutputOptions& output);

}  // namespace limbeck::cli
