#include "limbeck/recipe/trials.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"

namespace limbeck::recipe {
namespace {

namespace fs = std::filesystem;

class Trials : public ::testing::Test {
 protected:
  std::string text(const std::string& top, const std::string& stages = "- train: {model: m, epochs: 1}") const {
    return fmt::format(
        "name: x\noutput: {}/out\n{}\ndata: {{dataset: \"synthetic:4x1x8x8?n=64\", batch_size: 16}}\n"
        "models: {{m: {{zoo: resnet_basic, options: {{widths: [4, 4], blocks: [1, 1], image_size: 8, "
        "in_channels: 1, classes: 4}}}}}}\nstages:\n  {}\n  - evaluate: {{latency_runs: 0}}\n",
        folder_.path().string(), top, stages);
  }

  std::vector<std::string> names(const std::string& top) const {
    std::vector<std::string> result;
    for (const Trial& trial : parse_trials(text(top), "r.yaml").trials) result.push_back(trial.name);
    return result;
  }

  std::string refusal(const std::string& top) const {
    try {
      parse_trials(text(top), "r.yaml");
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "accepted";
  }

  core::TemporaryDirectory folder_;
};

using Names = std::vector<std::string>;

TEST_F(Trials, AreTheGridTimesTheSeeds) {
  EXPECT_EQ(names(""), Names{});
  EXPECT_EQ(names("seed: 7\nseeds: 3"), (Names{"seed=7", "seed=8", "seed=9"}));
  EXPECT_EQ(names("sweep: {stages.m.optimizer.lr: [0.1, 0.02], data.batch_size: [16]}"),
            (Names{"lr=0.1,batch_size=16", "lr=0.02,batch_size=16"}));
}

TEST_F(Trials, EachHasItsSettings) {
  const TrialPlan plan =
      parse_trials(text("seeds: 2\nsweep:\n  stages.m.optimizer: [{kind: adamw, lr: 0.01}, {kind: sgd}]"), "r.yaml");
  ASSERT_EQ(plan.trials.size(), 4U);
  const Recipe& third = plan.trials[2].recipe;
  EXPECT_EQ(std::get<TrainStage>(third.stages[0]).train.optimizer.kind, train::OptimizerKind::sgd);
  EXPECT_EQ(std::get<TrainStage>(plan.trials[1].recipe.stages[0]).train.optimizer.lr, 0.01);
  EXPECT_EQ(plan.trials[1].recipe.seed, 1U);
  std::set<std::string> folders;
  for (const Trial& trial : plan.trials) {
    EXPECT_TRUE(folders.insert(trial.recipe.output).second) << trial.recipe.output;
    EXPECT_EQ(fs::path(trial.recipe.output).parent_path(), folder_.path() / "out");
  }
}

TEST_F(Trials, WrongValuesAreNamedBeforeTheFirstRun) {
  EXPECT_NE(refusal("sweep: {stages.m.epochs: [1, two]}").find("sweep of stages.m.epochs"), std::string::npos)
      << refusal("sweep: {stages.m.epochs: [1, two]}");
  EXPECT_NE(refusal("sweep: {stages.m.epoch: [1]}").find("unknown key 'epoch'"), std::string::npos)
      << refusal("sweep: {stages.m.epoch: [1]}");
  EXPECT_NE(refusal("sweep: {seed: 1}").find("must be a sequence of values to try"), std::string::npos);
  EXPECT_NE(refusal("sweep: {output: [a, b]}").find("'output' is no key to sweep over"), std::string::npos);
  EXPECT_NE(refusal("seeds: 2\nsweep: {seed: [1]}").find("either 'seeds' or a sweep"), std::string::npos);
  EXPECT_NE(refusal("seeds: 0").find("'seeds' must be 1 to"), std::string::npos) << refusal("seeds: 0");
}

TEST_F(Trials, AreRunOnceAndSharedStagesToo) {
  const TrialPlan plan =
      parse_trials(text("sweep: {stages.late.epochs: [1, 2]}",
                        "- train: {model: m, epochs: 1}\n  - train: {model: m, name: late, epochs: 1}"),
                   "r.yaml");
  std::vector<std::string> trained;
  RunControl control;
  control.events.on_stage_end = [&](const StageTitle& title, bool from_cache, double) {
    if (!from_cache && title.kind == "train") trained.push_back(title.trial + " " + title.name);
  };
  const TrialsResult result = run_trials(plan, control);
  ASSERT_TRUE(result.completed);
  EXPECT_EQ(trained, (Names{"1/2 epochs=1 m", "1/2 epochs=1 late", "2/2 epochs=2 late"})) << "m is shared";
  ASSERT_EQ(result.table.rows.size(), 2U);
  EXPECT_EQ(result.table.rows[0].scores.size(), 2U) << "m and late";
  trained.clear();
  EXPECT_TRUE(run_trials(plan, control).completed);
  EXPECT_EQ(trained, Names{});
  EXPECT_TRUE(fs::exists(folder_.path() / "out" / "report.md"));
  EXPECT_TRUE(fs::exists(folder_.path() / "out" / "epochs=2" / "late" / "model.lmb"));
}

TEST_F(Trials, SharedStagesKeepAllTheirModels) {
  const TrialPlan plan =
      parse_trials(text("sweep: {stages.late.epochs: [1, 2]}",
                        "- train: {model: m, epochs: 2, keep: best, monitor: loss, ema: {decay: 0.9, use: beside}}\n"
                        "  - train: {model: m, name: late, epochs: 1}"),
                   "r.yaml");
  ASSERT_TRUE(run_trials(plan, {}).completed);
  for (const char* file : {"model.lmb", "last.lmb", "ema.lmb"}) {
    const fs::path first = folder_.path() / "out/epochs=1/m" / file, second = folder_.path() / "out/epochs=2/m" / file;
    ASSERT_TRUE(fs::exists(first)) << file;
    ASSERT_TRUE(fs::exists(second)) << file;
    EXPECT_EQ(core::read_file(first), core::read_file(second)) << file;
  }
}

TEST_F(Trials, GoOnWhereTheyWereStopped) {
  const TrialPlan plan = parse_trials(text("seeds: 3"), "r.yaml");
  core::StopFlag stop;
  RunControl control{.stop = &stop};
  control.events.on_training = [&](const StageTitle& title, const train::ProgressEvent& event) {
    if (title.trial.starts_with("2/3") && event.step == 2) stop.request();
  };
  EXPECT_FALSE(run_trials(plan, control).completed);
  EXPECT_FALSE(fs::exists(folder_.path() / "out" / "report.json"));
  int num_first = 0;
  control = {};
  control.events.on_training = [&](const StageTitle& title, const train::ProgressEvent&) {
    num_first += title.trial.starts_with("1/3") ? 1 : 0;
  };
  const TrialsResult result = run_trials(plan, control);
  EXPECT_TRUE(result.completed);
  EXPECT_EQ(num_first, 0) << "the first was finished";
  const std::vector<report::SeedStatistics> statistics = report::seed_statistics(result.table);
  ASSERT_EQ(statistics.size(), 1U);
  EXPECT_EQ(statistics[0].values.size(), 3U);
}

}  // namespace
}  // namespace limbeck::recipe
