// --accept: running modes that the file of one export leaves open.
#include <gtest/gtest.h>

#include "limbeck/graph/lmb.h"
#include "limbeck/load/load.h"
#include "tests/cli/process.h"
#include "tests/cli/tiny.h"

namespace limbeck::testing {
namespace {

class Accept : public ::testing::Test {
 protected:
  Accept() {
    graph::Graph graph = load(kTinyModel).graph();
    graph.assumptions.push_back({graph::Mode::train, 0, "train was not seen"});
    graph.assumptions.push_back({graph::Mode::eval, 0, "eval was not seen"});
    graph::save_lmb(graph, file_);
  }

  void expect_needs(const std::string& modes, std::vector<std::string> arguments) const {
    const Finished refused = run_limbeck(arguments);
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_TRUE(contains(refused.err, "--accept ")) << refused.err;
    arguments.insert(arguments.end(), {"--accept", modes});
    const Finished done = run_limbeck(arguments);
    EXPECT_EQ(done.exit_code, 0) << done.err;
  }

  core::TemporaryDirectory folder_;
  const std::string file_ = (folder_.path() / "assuming.lmb").string();
};

TEST_F(Accept, TrainEvaluateAndProfileRunWhatIsAccepted) {
  expect_needs("both", {"train", file_, "--data", kTinyData, "--data.batch_size", "16", "--epochs", "1", "-o",
                        (folder_.path() / "out").string()});
  expect_needs("eval", {"evaluate", file_, "--data", kTinyData, "--latency_runs", "0"});
  expect_needs("eval", {"profile", file_, "--runs", "1"});
}

TEST_F(Accept, TakesNamesOfModesOnly) {
  const Finished done = run_limbeck({"profile", file_, "--accept", "testing"});
  EXPECT_EQ(done.exit_code, 2);
  EXPECT_TRUE(contains(done.err, "--accept")) << done.err;
}

}  // namespace
}  // namespace limbeck::testing
