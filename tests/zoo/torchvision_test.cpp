// The zoo with torchvision's weights against torchvision's outputs, gradients and buffers, bit for bit. What they are
// is written by tests/export/zoo_reference.py into the folder that LIMBECK_ZOO_REFERENCE names.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "limbeck/core/files/safetensors.h"
#include "limbeck/graph/weights/tensors.h"
#include "limbeck/model/model.h"
#include "limbeck/zoo/zoo.h"

namespace limbeck {
namespace {

/// The tensors of a reference file whose name starts with `prefix`, without it.
std::vector<NamedTensor> part(const std::vector<weights::NamedTensor>& tensors, const std::string& prefix) {
  std::vector<NamedTensor> found;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(prefix)) found.push_back({name.substr(prefix.size()), tensor});
  }
  return found;
}

/// How far two tensors are apart, for messages.
std::string difference(const at::Tensor& a, const at::Tensor& b) {
  return "differ by up to " + std::to_string((a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>());
}

class TorchvisionReference : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    threads_ = at::get_num_threads();
    at::set_num_threads(1);
    file_ = weights::read_tensors(core::SafetensorsFile::open(std::string(std::getenv("LIMBECK_ZOO_REFERENCE")) + "/" +
                                                              GetParam() + ".safetensors"));
    model_.emplace(zoo::make(GetParam(), {.classes = 10, .image_size = 64}));
    model_->load_state_dict(part(file_, "state."));
  }
  void TearDown() override { at::set_num_threads(threads_); }
  at::Tensor stored(const std::string& name) const { return part(file_, name).at(0).tensor; }

  int threads_ = 1;
  std::vector<weights::NamedTensor> file_;
  std::optional<Model> model_;
};

TEST_P(TorchvisionReference, GivesTheSameBits) {
  const at::Tensor x = stored("input");
  model_->eval();
  {
    const c10::AutoGradMode no_grad(false);
    const at::Tensor logits = (*model_)(x);
    EXPECT_TRUE(at::equal(logits, stored("eval"))) << difference(logits, stored("eval"));
    EXPECT_TRUE(at::equal((*model_)(x), logits));
  }
  model_->train();
  at::manual_seed(1);
  const at::Tensor logits = (*model_)(x);
  EXPECT_TRUE(at::equal(logits, stored("train"))) << difference(logits, stored("train"));
  logits.square().sum().backward();
  for (const NamedTensor& expected : part(file_, "grad.")) {
    const at::Tensor gradient = model_->graph().parameter(expected.name).tensor.grad();
    ASSERT_TRUE(gradient.defined()) << expected.name;
    EXPECT_TRUE(at::equal(gradient, expected.tensor)) << expected.name << difference(gradient, expected.tensor);
  }
  for (const NamedTensor& expected : part(file_, "after.")) {
    EXPECT_TRUE(at::equal(model_->graph().parameter(expected.name).tensor, expected.tensor)) << expected.name;
  }
}

std::vector<std::string> reference_names() {
  if (std::getenv("LIMBECK_ZOO_REFERENCE") == nullptr) return {};
  return {"resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0"};
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TorchvisionReference);
INSTANTIATE_TEST_SUITE_P(Each, TorchvisionReference, ::testing::ValuesIn(reference_names()),
                         [](const auto& name) { return name.param; });

}  // namespace
}  // namespace limbeck
