// SIGINT and SIGTERM finish the step, save and give 130; the same command goes on and ends with the same weights.
#include <gtest/gtest.h>

#include <csignal>

#include "tests/cli/process.h"
#include "tests/cli/tiny.h"

namespace limbeck::testing {
namespace {

class Interrupt : public ::testing::TestWithParam<int> {
 protected:
  std::vector<std::string> train(const char* folder) const {
    return {"train", kTinyModel,        "--data", kTinyData, "--data.batch_size", "8", "--epochs",
            "12",    "--schedule.kind", "cosine", "-o",      path(folder)};
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

 private:
  core::TemporaryDirectory folder_;
};

TEST_P(Interrupt, SavesAndGoesOnToTheSameWeights) {
  LimbeckProcess process(train("stopped"));
  ASSERT_TRUE(process.wait_until([&] { return contains(process.error_output(), "epoch 2/12"); }))
      << process.error_output();
  process.send(GetParam());
  const Finished stopped = process.wait();
  ASSERT_EQ(stopped.exit_code, 130) << stopped.err;
  EXPECT_TRUE(contains(stopped.err, "interrupted after saving. The same command goes on from here.")) << stopped.err;
  EXPECT_FALSE(std::filesystem::exists(path("stopped/model/model.lmb")));

  const Finished resumed = run_limbeck(train("stopped"));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_FALSE(contains(resumed.err, "epoch 1/12")) << resumed.err;
  EXPECT_TRUE(contains(resumed.err, "epoch 12/12")) << resumed.err;
  const Finished whole = run_limbeck(train("whole"));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_TRUE(core::read_file(path("stopped/model/model.lmb")) == core::read_file(path("whole/model/model.lmb")));
}

INSTANTIATE_TEST_SUITE_P(Signals, Interrupt, ::testing::Values(SIGINT, SIGTERM),
                         [](const auto& signal) { return signal.param == SIGINT ? "SIGINT" : "SIGTERM"; });

}  // namespace
}  // namespace limbeck::testing
