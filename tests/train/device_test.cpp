#include "limbeck/model/device.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "tests/train/tiny_network.h"

namespace limbeck::train {
namespace {

template <class E>
std::string refusal(const char* name) {
  try {
    parse_device(name);
  } catch (const E& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Device, NamesOfDevicesAndOfNone) {
  EXPECT_EQ(parse_device("cpu"), at::Device(at::kCPU));
  EXPECT_EQ(parse_device_name("cuda"), at::Device(at::kCUDA, 0));
  EXPECT_EQ(parse_device_name("xpu:3").index(), 3);
  for (const char* name : {"gpu", "cuda:x", "meta", ""}) {
    EXPECT_NE(refusal<InvalidArgument>(name).find("is no device. Use cpu, cuda, cuda:INDEX or xpu."), std::string::npos)
        << name;
  }
  EXPECT_NE(refusal<Unsupported>("cuda:99").find("there is no device 'cuda:99' here. There is: cpu"),
            std::string::npos);
}

TEST(Device, OfAModelIsThatOfItsParameters) {
  const Model model = testing::network(1);
  EXPECT_EQ(device_of(model), at::Device(at::kCPU));
  EXPECT_EQ(generators_of(at::kCPU).size(), 1U);
  EXPECT_EQ(generators_of(at::kCPU)[0].first, "generator");
}

bool is_here(const char* name) { return refusal<Unsupported>(name) == "accepted"; }

/// Half a run on the device, the rest there or on the CPU: each learns, and files are the CPU's.
void train_on(const char* name) {
  const at::Device device = parse_device(name);
  TrainOptions options = testing::options();
  options.ema = {.decay = 0.9};
  const core::TemporaryDirectory folder;
  RunControl control{.checkpoint_directory = folder.path(), .run_hash = "h", .validate = testing::validate};
  control.hooks.on_epoch = [](const EpochSummary& epoch) {
    return epoch.epoch == 0 ? AfterHook::stop : AfterHook::go_on;
  };
  Model model = testing::network(1);
  model.to(device);
  EXPECT_FALSE(testing::run(model, options, control).completed);
  EXPECT_EQ(device_of(model), device);
  control.hooks = {};
  for (const at::Device rest : {device, at::Device(at::kCPU)}) {
    Model resumed = testing::network(2);
    resumed.to(rest);
    const core::TemporaryDirectory copy;
    std::filesystem::copy(folder.path(), copy.path(), std::filesystem::copy_options::recursive);
    control.checkpoint_directory = copy.path();
    const TrainSummary summary = testing::run(resumed, options, control);
    EXPECT_TRUE(summary.completed);
    EXPECT_EQ(summary.resumed_at_step, 10);
    EXPECT_EQ(device_of(*summary.averaged_model), rest);
    EXPECT_LT(summary.progress.epochs.back().loss, summary.progress.epochs.front().loss);
  }
}

TEST(Device, CudaTrainsSavesAndGoesOnAnywhere) {
  if (!is_here("cuda")) GTEST_SKIP() << "there is no CUDA device here";
  train_on("cuda");
}

TEST(Device, XpuTrainsSavesAndGoesOnAnywhere) {
  if (!is_here("xpu")) GTEST_SKIP() << "there is no XPU device here";
  train_on("xpu");
}

}  // namespace
}  // namespace limbeck::train
