// Networks for the tests of sets, each beside the same thing written by hand, and torch::optim's optimizers over them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "limbeck/model/model.h"

namespace torch::optim {
class Optimizer;
}

namespace limbeck::train::testing {

/// x [B, 1, 6, 6] -> conv1 -> bn1 -> relu -> conv2 -> bn2 -> relu -> pool [B, width] -> dropout(0.2) -> fc -> [B, 4],
/// with running statistics and num_batches_tracked as torch.nn.BatchNorm2d has them.
Model classifier(int64_t width, uint64_t seed);

/// x [B, in] -> linear -> [B, out].
Model linear_adapter(int64_t in, int64_t out, uint64_t seed);

struct HandOutputs {
  at::Tensor logits, pool;
};

/// The classifier by hand on the tensors of `model`, as an eager module would run it; statistics are written in train
/// mode.
HandOutputs classifier_by_hand(const Model& model, const at::Tensor& x, bool train);
at::Tensor adapter_by_hand(const Model& model, const at::Tensor& x);

struct Batch {
  at::Tensor x, y;
};
/// Eight seeded samples.
Batch batch_of(uint64_t seed);

using OptimizerPtr = std::shared_ptr<torch::optim::Optimizer>;

enum class Kind : uint8_t { sgd, adam, adamw, adagrad, rmsprop, lbfgs, sgd_subclass };
OptimizerPtr make_optimizer(Kind kind, std::vector<at::Tensor> parameters, double lr = 0);  // 0: a usual one
void add_group(torch::optim::Optimizer& optimizer, std::vector<at::Tensor> parameters);
/// step() and zero_grad() of the optimizer itself.
void step_eagerly(torch::optim::Optimizer& optimizer);
/// One step(closure) of the optimizer itself.
void step_eagerly(torch::optim::Optimizer& optimizer, const std::function<at::Tensor()>& closure);

std::vector<at::Tensor> joined(std::vector<at::Tensor> a, const std::vector<at::Tensor>& b);

/// Copies of all parameters and buffers.
std::vector<at::Tensor> snapshot(const Model& model);
bool is_bit_equal(const Model& model, const std::vector<at::Tensor>& before);
/// The largest difference between the tensors of both, relative to the largest value of each tensor where above 1.
double largest_difference(const Model& a, const Model& b);
/// Names of parameters whose values are those in `before`.
std::vector<std::string> unmoved_parameters(const Model& model, const Model& before);

void seed_everything(uint64_t seed);

/// Runs `action` and returns the message of the `E` that it throws; a failure of the test otherwise.
template <class E>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace limbeck::train::testing
