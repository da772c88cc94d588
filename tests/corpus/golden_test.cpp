// The committed archives, one training step each.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "limbeck/core/files/safetensors.h"
#include "limbeck/graph/capture/capture.h"
#include "limbeck/graph/weights/tensors.h"
#include "limbeck/model/model.h"
#include "tests/corpus/corpus.h"
#include "tests/support/golden_machine.h"

namespace limbeck::testing {
namespace {

std::string golden(const std::string& name) {
  return std::string(LIMBECK_SOURCE_DIR) + "/tests/graph/capture/data/" + name;
}

class GoldenStep : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Cases, GoldenStep,
                         ::testing::Values("tiny", "named_outputs", "views", "tied", "keywords", "dropping"),
                         [](const auto& test) { return test.param; });

/// The rounding of other kernels: of the tensor's largest value and a little of the step's largest.
std::string golden_difference(const std::string& what, const at::Tensor& got, const at::Tensor& want) {
  if (is_golden_machine()) return difference(what, got, want);
  const double error = relative_difference(got, want, 1);
  return error <= 1e-5 ? "" : fmt::format("{} is off by {:.3g}", what, error);
}

/// The pair's train mode steps as eager does: outputs, gradients and buffers.
TEST_P(GoldenStep, IsEagers) {
  use_reference_settings();
  const auto file = core::SafetensorsFile::open(golden(GetParam() + ".safetensors"));
  std::map<std::string, at::Tensor> want;
  for (const auto& [name, tensor] : weights::read_tensors(file)) want[name] = tensor;
  Model model(*without_randomness(capture::capture(golden(GetParam() + "_pair.pt2"))));
  model.train();
  std::vector<NamedTensor> inputs;
  for (std::size_t i = 0; i < model.graph().inputs.size(); ++i)
    inputs.push_back({"", want.at("input/" + std::to_string(i)).clone()});
  const Outputs outputs = model.forward(Inputs(inputs));
  std::vector<at::Tensor> roots, cotangents;
  for (std::size_t i = 0; i < outputs.tensors.size(); ++i) {
    const auto cotangent = want.find("step/cotangent/" + std::to_string(i));
    if (!outputs.tensors[i].tensor.defined()) continue;
    EXPECT_EQ(golden_difference("output", outputs.tensors[i].tensor, want.at("step/output/" + std::to_string(i))), "");
    if (cotangent == want.end()) continue;
    roots.push_back(outputs.tensors[i].tensor);
    cotangents.push_back(cotangent->second);
  }
  torch::autograd::backward(roots, cotangents);
  for (const auto& [key, tensor] : want) {
    constexpr std::string_view kGradient = "step/gradient/", kBuffer = "step/buffer/";
    if (key.starts_with(kGradient)) {
      EXPECT_EQ(golden_difference(key, model.graph().parameter(key.substr(kGradient.size())).tensor.grad(), tensor),
                "");
    } else if (key.starts_with(kBuffer)) {
      EXPECT_EQ(golden_difference(key, model.graph().parameter(key.substr(kBuffer.size())).tensor, tensor), "");
    }
  }
}

}  // namespace
}  // namespace limbeck::testing
