// `limbeck run` killed at any moment and started again ends with the same models, to the bit.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "limbeck/graph/builder.h"
#include "limbeck/model/model.h"
#include "tests/cli/process.h"
#include "tests/cli/tiny.h"

namespace limbeck::testing {
namespace {

namespace fs = std::filesystem;
using graph::ArgumentList;
using graph::ValueId;
using std::chrono::milliseconds;

/// conv - relu - dropout - linear with an `index` between: its backward accumulates, in an order that only
/// deterministic mode fixes.
Model network_with_index() {
  graph::Graph graph;
  graph::Builder builder(graph);
  at::Generator generator = at::detail::createCPUGenerator(7);
  const auto weight = [&](std::vector<int64_t> sizes) { return at::empty(sizes).normal_(0, 0.2, generator); };
  const ValueId x = builder.input("x", {graph::IntExpr::symbol("B"), 1, 8, 8});
  ValueId h = builder.call("aten::conv2d", {x, builder.parameter("conv.weight", weight({6, 1, 3, 3})), nullptr,
                                            ArgumentList{2, 2}, ArgumentList{1, 1}});
  h = builder.call("aten::flatten.using_ints", {builder.call("aten::relu", {h}), 1});
  const ValueId gather = builder.buffer("gather", at::arange(120, at::kLong).remainder(96));
  h = builder.call("aten::index.Tensor", {h, ArgumentList{nullptr, gather}});
  h = builder.call("aten::dropout", {h, 0.2, false});
  h = builder.call("aten::linear",
                   {h, builder.parameter("fc.weight", weight({4, 120})), builder.parameter("fc.bias", at::zeros({4}))});
  builder.outputs({{"logits", h}});
  return Model(std::move(graph));
}

constexpr const char* kStages[] = {"teacher", "alone", "distilled"};

/// A recipe of three trainings, whole runs of it, and runs that are killed.
class Kill : public ::testing::Test {
 protected:
  Kill() {
    network_with_index().save(path("indexed.lmb"));
    core::write_file(path("recipe.yaml"), fmt::format(R"(name: killed
seed: 3
data: {{dataset: "{}", batch_size: 8, crop_padding: 1, flip_probability: 0.5}}
models:
  teacher: {{zoo: resnet_basic, options: {{widths: [4, 8], blocks: [1, 1], image_size: 8, in_channels: 1, classes: 4}}}}
  student: {{file: {}}}
stages:
  - train: {{model: teacher, epochs: 20, optimizer: {{kind: sgd, lr: 0.05, momentum: 0.9}}}}
  - train: {{model: student, name: alone, epochs: 20, optimizer: {{kind: adamw, lr: 0.003}}, accumulate: 3,
            ema: {{decay: 0.9}}, schedule: {{kind: plateau, plateau: {{patience: 0, threshold: 0.1}}}}, monitor: loss}}
  - distill: {{student: student, teacher: teacher, name: distilled, epochs: 20, optimizer: {{kind: sgd, lr: 0.05}},
              precision: fp16, keep: best, early_stop: {{patience: 6}}, monitor: loss, log: {{every_steps: 1}}}}
  - evaluate: {{models: [teacher, alone, distilled], latency_runs: 0}}
)",
                                                      kTinyData, path("indexed.lmb")));
    const auto start = std::chrono::steady_clock::now();
    const Finished whole = run_limbeck(arguments("whole"));
    EXPECT_EQ(whole.exit_code, 0) << whole.err;
    whole_run_ = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
  }

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  /// Checkpoints after every step, so that a kill often falls into the writing of one.
  std::vector<std::string> arguments(const std::string& output) const {
    return {"run", path("recipe.yaml"), "--set", "output=" + path(output), "--checkpoint-seconds", "0"};
  }

  void expect_same_models(const std::string& output) const {
    for (const std::string stage : kStages) {
      EXPECT_TRUE(core::read_file(path(output) + "/" + stage + "/model.lmb") ==
                  core::read_file(path("whole/") + stage + "/model.lmb"))
          << stage;
      EXPECT_FALSE(fs::exists(path(output) + "/" + stage + "/checkpoint")) << stage;
    }
  }

  void finish_and_compare(const std::string& output) const {
    const Finished last = run_limbeck(arguments(output));
    EXPECT_EQ(last.exit_code, 0) << last.err;
    expect_same_models(output);
  }

  /// Whether a checkpoint under `output` was begun after `start` and is half written.
  bool is_writing(const std::string& output, fs::file_time_type start) const {
    for (const std::string stage : kStages) {
      std::error_code gone;
      for (const auto& entry : fs::directory_iterator(path(output) + "/" + stage + "/checkpoint", gone)) {
        if (entry.path().extension() == ".tmp" && entry.last_write_time(gone) > start && !gone) return true;
      }
    }
    return false;
  }

  core::TemporaryDirectory folder_;
  milliseconds whole_run_{};
};

TEST_F(Kill, AtRandomPointsByTurns) {
  std::mt19937 random(20);
  std::uniform_int_distribution<int64_t> delay(0, whole_run_.count() / 2);
  int num_killed = 0, num_kept_work = 0;
  for (int attempt = 0; attempt < 12; ++attempt) {
    const int signal = attempt % 3 == 2 ? SIGTERM : SIGKILL;
    LimbeckProcess process(arguments("killed"));
    std::this_thread::sleep_for(milliseconds(delay(random)));
    process.send(signal);
    const Finished ended = process.wait();
    // Ended by the signal, saved because of it, or done before it came: never an error.
    ASSERT_TRUE(ended.signal == signal || ended.exit_code == 130 || ended.exit_code == 0) << ended.err;
    num_kept_work += contains(ended.err, "taken from its cache") ? 1 : 0;
    num_killed += ended.exit_code == 0 ? 0 : 1;
    if (ended.exit_code != 0) continue;
    expect_same_models("killed");
    fs::remove_all(path("killed"));
  }
  EXPECT_GE(num_killed, 4);
  finish_and_compare("killed");
  EXPECT_TRUE(num_kept_work > 0 || num_killed < 12) << "no stage was ever finished before the next kill";
}

TEST_F(Kill, WhileACheckpointIsWritten) {
  int num_half_written = 0;
  for (int attempt = 0; attempt < 40 && num_half_written < 3; ++attempt) {
    const fs::file_time_type start = fs::file_time_type::clock::now();
    LimbeckProcess process(arguments("killed"));
    process.wait_until([&] { return is_writing("killed", start); });
    process.send(SIGKILL);
    const Finished ended = process.wait();
    ASSERT_TRUE(ended.signal == SIGKILL || ended.exit_code == 0) << ended.err;
    if (is_writing("killed", start)) ++num_half_written;
    if (ended.exit_code == 0) fs::remove_all(path("killed"));
  }
  EXPECT_EQ(num_half_written, 3);
  finish_and_compare("killed");
}

TEST_F(Kill, BetweenStages) {
  for (const std::string next : {"alone", "distilled"}) {
    LimbeckProcess process(arguments("killed"));
    ASSERT_TRUE(process.wait_until([&] { return fs::exists(path("killed/" + next)); })) << process.error_output();
    process.send(SIGKILL);
    ASSERT_EQ(process.wait().signal, SIGKILL);
  }
  const Finished last = run_limbeck(arguments("killed"));
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_TRUE(contains(last.err, "[2/4] alone  taken from its cache")) << last.err;
  expect_same_models("killed");
}

}  // namespace
}  // namespace limbeck::testing
