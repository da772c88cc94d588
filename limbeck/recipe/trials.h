// Several runs of one recipe: with several seeds, or with the values of a sweep. Each is a run of its own, in a folder
// of its own below the recipe's output, cached and resumed as every run; stages that two of them have in common are
// done once.
//
//   OUTPUT/lr=0.1,seed=3/   a run
//   OUTPUT/report.json, report.md   all of them, and mean and deviation over the seeds
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "limbeck/recipe/read.h"
#include "limbeck/recipe/run.h"
#include "limbeck/report/trials.h"

namespace limbeck::recipe {

struct Trial {
  std::string name;                                           // of its folder: "lr=0.1,seed=3"
  std::vector<std::pair<std::string, std::string>> settings;  // of the sweep: "lr" -> "0.1"
  Recipe recipe;
};

/// A recipe and the runs that it asks for.
struct TrialPlan {
  Recipe recipe;              // as it stands
  std::vector<Trial> trials;  // empty: it asks for one run, of itself
};

/// Reads a recipe, and again with the settings of each run, so that a wrong value of a sweep is an error before the
/// first run. Throws what parse_recipe throws.
TrialPlan parse_trials(std::string_view text, const std::string& source, const Overrides& overrides = {});
TrialPlan read_trials(const std::filesystem::path& path, const Overrides& overrides = {});

struct TrialsResult {
  bool completed = false;  // false: stopped on request; run again to go on
  report::TrialTable table;
  core::Json report;  // everything, as written to report.json
};

/// Runs all of them in order. Throws what run throws.
TrialsResult run_trials(const TrialPlan& plan, const RunControl& control);

}  // namespace limbeck::recipe
