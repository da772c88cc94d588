// Runs a recipe: its stages in order, each from its cache where nothing that it depends on has changed, each resumed
// where it was interrupted.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "limbeck/core/json/json.h"
#include "limbeck/core/stop.h"
#include "limbeck/recipe/options.h"
#include "limbeck/report/comparison.h"
#include "limbeck/train/trainer.h"

namespace limbeck::recipe {

/// A stage as messages name it.
struct StageTitle {
  std::string kind, name;        // "distill", "student-distilled"
  int64_t index = 0, count = 0;  // from 1
  std::string trial{};           // of several runs of one recipe: "2/6 lr=0.1,seed=3"
};

/// What happens, told as it happens. Empty functions are not called.
struct RunEvents {
  std::function<void(const StageTitle&)> on_stage_begin{};
  std::function<void(const StageTitle&, const train::ProgressEvent&)> on_training{};
  /// Work that is counted, in samples or, of "timing calls", in calls: "teacher outputs", "evaluating student".
  std::function<void(const StageTitle&, const std::string& what, int64_t done, int64_t all)> on_counting{};
  /// One line about what was decided or found.
  std::function<void(const StageTitle&, const std::string& line)> on_note{};
  std::function<void(const StageTitle&, bool from_cache, double seconds)> on_stage_end{};
};

struct RunControl {
  const core::StopFlag* stop = nullptr;
  double checkpoint_seconds = 30;  // within an epoch; the end of each epoch has a checkpoint anyhow
  int64_t checkpoint_steps = 0;    // and every so many steps; 0: by time alone
  RunEvents events{};
  std::string trial{};               // what StageTitle::trial says
  std::vector<std::string> reuse{};  // output folders of other runs, whose finished stages are taken where keys agree
  train::Hooks hooks{};              // of every training; what they look at is their business, see train::Hooks
};

struct RunResult {
  bool completed = false;                        // false: stopped on request; run again to go on
  std::optional<report::Comparison> comparison;  // of the last evaluate stage
  core::Json report;                             // everything, as written to report.json
};

/// Runs all stages and writes report.json and report.md into the recipe's output folder. Throws what stages throw; what
/// was finished before stays finished.
RunResult run(const Recipe& recipe, const RunControl& control);

/// What run would do, without training: shapes, adapters, parameters, multiply-adds, steps, and which stages would come
/// from their cache. Writes nothing, and takes no lock: it can be asked while the recipe runs.
core::Json plan(const Recipe& recipe);

}  // namespace limbeck::recipe
