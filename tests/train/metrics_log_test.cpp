#include "limbeck/train/loop/metrics_log.h"

#include <gtest/gtest.h>

#include <limits>

#include "limbeck/core/files/file.h"
#include "tests/train/tiny_network.h"

namespace limbeck::train {
namespace {

/// "kind step" of each line.
std::vector<std::string> lines_of(const std::filesystem::path& folder) {
  std::vector<std::string> result;
  std::ifstream file(folder / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    const core::Json json = core::parse_json(line, "metrics.jsonl");
    result.push_back(json.find("kind")->as_string() + " " + std::to_string(json.find("step")->as_int()));
  }
  return result;
}

TEST(MetricsLog, HasALineForEverySoManyStepsAndEachEpoch) {
  const core::TemporaryDirectory folder;
  TrainOptions options = testing::options();
  options.epochs = 2;
  testing::run(testing::network(1), options, {.metrics = {.folder = folder.path(), .every_steps = 4}});
  EXPECT_EQ(lines_of(folder.path()),
            (std::vector<std::string>{"step 4", "step 8", "epoch 10", "step 12", "step 16", "step 20", "epoch 20"}));
}

TEST(MetricsLog, AResumedRunTakesBackWhatItDoesAgain) {
  const core::TemporaryDirectory folder;
  const MetricsOptions options{.folder = folder.path(), .every_steps = 1};
  {
    MetricsLog log(options, 0);
    for (int64_t step = 1; step <= 3; ++step) log.add_step({.step = step, .loss = 1});
  }
  std::ofstream(folder.path() / "metrics.jsonl", std::ios::app) << "{\"kind\": \"st";
  MetricsLog(options, 2).add_step({.step = 3, .loss = 2});
  EXPECT_EQ(lines_of(folder.path()), (std::vector<std::string>{"step 1", "step 2", "step 3"}));
  EXPECT_NE(core::read_file(folder.path() / "metrics.jsonl").find("\"loss\": 2.0"), std::string::npos);
}

TEST(MetricsLog, TakesStepsThatAScalerSkipped) {
  const core::TemporaryDirectory folder;
  MetricsLog log({.folder = folder.path(), .every_steps = 1}, 0);
  const double infinity = std::numeric_limits<double>::infinity();
  log.add_step({.step = 1, .loss = infinity, .grad_norm = infinity, .is_skipped = true});
  log.add_step({.step = 2, .loss = 1});
  EXPECT_EQ(lines_of(folder.path()), (std::vector<std::string>{"step 1", "step 2"}));
}

TEST(MetricsLog, WritesNothingUnlessAskedTo) {
  MetricsLog log({}, 0);
  log.add_step({.step = 50});
  log.add_epoch({.epoch = 0}, 50);
}

}  // namespace
}  // namespace limbeck::train
