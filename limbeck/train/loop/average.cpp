#include "limbeck/train/loop/average.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_lerp.h>

#include <vector>

#include "limbeck/core/error.h"

namespace limbeck::train {

namespace {

std::vector<at::Tensor> buffers_of(const Model& model) {
  std::vector<at::Tensor> tensors;
  for (const NamedTensor& buffer : model.named_buffers()) tensors.push_back(buffer.tensor);
  return tensors;
}

/// Without the lists' fast path refusing an empty list.
void copy_all(const std::vector<at::Tensor>& targets, const std::vector<at::Tensor>& sources) {
  if (!targets.empty()) at::_foreach_copy_(targets, sources);
}

}  // namespace

void AverageOptions::validate() const {
  LIMBECK_CHECK(decay >= 0 && decay < 1, "[ema] decay must lie in [0, 1), got {}", decay);
  LIMBECK_CHECK(every >= 1, "[ema] every must be at least 1 step, got {}", every);
}

Model make_average(const Model& model) {
  Model average = model.clone();
  average.eval();
  for (const at::Tensor& parameter : average.parameters()) parameter.set_requires_grad(false);
  return average;
}

void update_average(Model& average, const Model& model, double decay, int64_t index) {
  const at::NoGradGuard no_grad;
  if (index == 0) {
    copy_all(average.parameters(), model.parameters());
  } else {
    at::_foreach_lerp_(average.parameters(), model.parameters(), 1 - decay);
  }
  copy_all(buffers_of(average), buffers_of(model));
}

}  // namespace limbeck::train
