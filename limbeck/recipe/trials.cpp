#include "limbeck/recipe/trials.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/json/json.h"
#include "limbeck/recipe/workspace.h"

namespace limbeck::recipe {

using core::Json;
using core::JsonView;

namespace {

/// More combinations than this are a mistake.
constexpr std::size_t kMaxTrials = 1000;

/// "stages.teacher.optimizer.lr" as "lr", unless another key ends so.
std::string short_name(const std::vector<SweepAxis>& axes, std::size_t index) {
  const auto last_part = [](const std::string& key) { return key.substr(key.rfind('.') + 1); };
  const std::string name = last_part(axes[index].key);
  const auto same =
      std::count_if(axes.begin(), axes.end(), [&](const SweepAxis& axis) { return last_part(axis.key) == name; });
  return same == 1 ? name : axes[index].key;
}

std::string as_file_name(std::string text) {
  for (char& c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 &&
        std::string_view("._=,+-").find(c) == std::string_view::npos)
      c = '_';
  }
  constexpr std::size_t kLongest = 100;
  return text.substr(0, kLongest);
}

/// Which value of each axis, and which seed.
struct Combination {
  std::vector<std::size_t> values;  // by axis
  int64_t seed = 0;                 // offset from the recipe's
};

std::vector<Combination> combinations_of(const Recipe& recipe) {
  std::vector<Combination> all = {{}};
  const auto expand = [&all](std::size_t count, const auto& put) {
    LIMBECK_CHECK(all.size() * count <= kMaxTrials, "[sweep] more than {} runs: sweep over less", kMaxTrials);
    std::vector<Combination> more;
    for (const Combination& combination : all) {
      for (std::size_t i = 0; i < count; ++i) put(more.emplace_back(combination), i);
    }
    all = std::move(more);
  };
  for (const SweepAxis& axis : recipe.sweep)
    expand(axis.values.size(), [](Combination& c, std::size_t i) { c.values.push_back(i); });
  expand(static_cast<std::size_t>(recipe.seeds),
         [](Combination& c, std::size_t i) { c.seed = static_cast<int64_t>(i); });
  return all;
}

bool is_alone(const Recipe& recipe) { return recipe.sweep.empty() && recipe.seeds == 1; }

void check_axes(const Recipe& recipe) {
  for (const SweepAxis& axis : recipe.sweep) {
    for (const char* key : {"sweep", "seeds", "output", "name"})
      LIMBECK_CHECK(axis.key != key, "[sweep] '{}' is no key to sweep over", key);
    LIMBECK_CHECK(axis.key != "seed" || recipe.seeds == 1, "[sweep] give either 'seeds' or a sweep over 'seed'");
  }
}

class TrialMaker {
 public:
  TrialMaker(std::string_view text, const std::string& source, const Overrides& overrides, const Recipe& recipe)
      : text_(text), source_(source), overrides_(overrides), recipe_(recipe) {}

  Trial make(const Combination& combination) {
    Trial trial;
    Overrides overrides = overrides_;
    for (std::size_t i = 0; i < recipe_.sweep.size(); ++i) {
      const SweepAxis& axis = recipe_.sweep[i];
      const std::string& value = axis.values[combination.values[i]];
      trial.settings.emplace_back(short_name(recipe_.sweep, i), value);
      overrides.push_back({axis.key, value, "sweep of " + axis.key});
    }
    std::vector<std::string> parts;
    for (const auto& [key, value] : trial.settings) parts.push_back(key + "=" + value);
    if (recipe_.seeds > 1) {
      const uint64_t seed = recipe_.seed + static_cast<uint64_t>(combination.seed);
      parts.push_back(fmt::format("seed={}", seed));
      overrides.push_back({"seed", fmt::format("{}", seed), "seeds"});
    }
    trial.name = unused_name(as_file_name(fmt::format("{}", fmt::join(parts, ","))));
    overrides.push_back({"output", Json(recipe_.output + "/" + trial.name).dump(), "output"});
    overrides.push_back({"seeds", "1", "seeds"});
    overrides.push_back({"sweep", "{}", "sweep"});
    trial.recipe = parse_recipe(text_, source_, overrides);
    return trial;
  }

 private:
  std::string unused_name(const std::string& name) {
    std::string result = name;
    for (int i = 2; !names_.insert(result).second; ++i) result = fmt::format("{}-{}", name, i);
    return result;
  }

  std::string_view text_;
  const std::string& source_;
  const Overrides& overrides_;
  const Recipe& recipe_;
  std::set<std::string> names_;
};

/// What a stage's epochs say of its model: the best one's, where it was kept, else the last one's.
std::optional<report::TrialScore> training_score(const std::string& name, const JsonView& stage) {
  const auto epochs = stage.get("epochs");
  if (!epochs || epochs->size() == 0) return std::nullopt;
  const auto best = stage.get("best_epoch");
  const JsonView epoch = (*epochs)[best ? static_cast<std::size_t>(best->as_int() - 1) : epochs->size() - 1];
  const auto val = epoch.get("val_accuracy");
  return report::TrialScore{.model = name,
                            .metric = val ? "val top-1" : "train top-1",
                            .value = val ? val->as_double() : epoch["train_accuracy"].as_double()};
}

/// Top-1 of every model on the test set, where they were evaluated, else what training said.
std::vector<report::TrialScore> scores_of(const Recipe& recipe, const RunResult& result) {
  std::vector<report::TrialScore> scores;
  if (result.comparison) {
    for (const report::ComparisonRow& row : result.comparison->rows)
      scores.push_back({.model = row.name, .metric = "top-1", .value = row.accuracy.top1});
    return scores;
  }
  const JsonView stages = JsonView(result.report, "report")["stages"];
  for (const Stage& stage : recipe.stages) {
    if (const auto score = training_score(stage_name(stage), stages[stage_name(stage)])) scores.push_back(*score);
  }
  return scores;
}

void write_reports(const Workspace& workspace, const TrialPlan& plan, const TrialsResult& result) {
  core::write_file(workspace.root() / "report.json", result.report.dump(2) + "\n");
  core::write_file(workspace.root() / "report.md",
                   "# " + plan.recipe.name + "\n\n" + report::to_markdown(result.table));
}

}  // namespace

TrialPlan parse_trials(std::string_view text, const std::string& source, const Overrides& overrides) {
  TrialPlan plan{.recipe = parse_recipe(text, source, overrides), .trials = {}};
  if (is_alone(plan.recipe)) return plan;
  check_axes(plan.recipe);
  TrialMaker maker(text, source, overrides, plan.recipe);
  for (const Combination& combination : combinations_of(plan.recipe)) plan.trials.push_back(maker.make(combination));
  return plan;
}

TrialPlan read_trials(const std::filesystem::path& path, const Overrides& overrides) {
  return parse_trials(core::read_file(path, kMaxYamlBytes), path.string(), overrides);
}

TrialsResult run_trials(const TrialPlan& plan, const RunControl& control) {
  const Workspace workspace(plan.recipe.output, WorkspaceUse::work);
  TrialsResult result;
  RunControl of_trial = control;
  for (std::size_t i = 0; i < plan.trials.size(); ++i) {
    const Trial& trial = plan.trials[i];
    of_trial.trial = fmt::format("{}/{} {}", i + 1, plan.trials.size(), trial.name);
    const RunResult run_result = run(trial.recipe, of_trial);
    if (!run_result.completed) return result;
    of_trial.reuse.push_back(trial.recipe.output);
    result.table.rows.push_back({.name = trial.name,
                                 .settings = trial.settings,
                                 .seed = trial.recipe.seed,
                                 .scores = scores_of(trial.recipe, run_result)});
  }
  result.completed = true;
  result.report = Json::object({{"recipe", effective_options(plan.recipe)}, {"trials", report::to_json(result.table)}});
  write_reports(workspace, plan, result);
  return result;
}

}  // namespace limbeck::recipe
