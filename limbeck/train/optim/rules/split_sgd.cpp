#include "limbeck/train/optim/rules/split_sgd.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/kernels/choose_kernels.h"
#include "limbeck/train/optim/kernels/dense_arrays.h"
#include "limbeck/train/optim/kernels/element_jobs.h"
#include "limbeck/train/optim/rules/sgd_scalars.h"
#include "limbeck/train/optim/rules/update_checks.h"

namespace limbeck::train {

namespace {

constexpr int kHalfBits = 16;
constexpr int64_t kLowMask = 0xFFFF;

void check_half(const UpdateSite& site, std::string_view field, const SplitSgdTensors& item, const at::Tensor& state,
                at::ScalarType type) {
  LIMBECK_CHECK(!state.defined() || (state.sizes() == item.parameter.sizes() && state.scalar_type() == type),
                "{} needs a state '{}' of its own shape and of type {}", site.to_string(), field, c10::toString(type));
}

void check(const SplitSgdTensors& item) {
  const UpdateSite site{.rule = "split_sgd", .parameter = item.name};
  check_gradient(site, item.parameter, item.gradient);
  LIMBECK_CHECK(item.parameter.scalar_type() == at::kBFloat16, "{} must be bfloat16, got {}", site.to_string(),
                c10::toString(item.parameter.scalar_type()));
  if (!item.parameter.is_cpu()) {
    fail<Unsupported>("{} is on {}: split weights are there for the CPU alone", site.to_string(),
                      item.parameter.device().str());
  }
  check_half(site, "low_bits", item, item.low_bits, at::kShort);
  check_half(site, "momentum_buffer", item, item.momentum_buffer, at::kFloat);
}

kernels::MomentumUse prepare(SplitSgdTensors& item, const SgdRule& rule) {
  if (!item.low_bits.defined()) item.low_bits = at::zeros_like(item.parameter, at::kShort);
  if (rule.momentum == 0) return kernels::MomentumUse::none;
  if (item.momentum_buffer.defined()) return kernels::MomentumUse::continued;
  item.momentum_buffer = at::empty_like(item.parameter, at::kFloat);
  return kernels::MomentumUse::first;
}

}  // namespace

SplitBf16 split_bf16(const at::Tensor& values) {
  LIMBECK_CHECK(values.scalar_type() == at::kFloat, "[split_sgd] only float32 can be split, got {}",
                c10::toString(values.scalar_type()));
  const at::Tensor bits = at::empty_like(values.detach()).copy_(values.detach()).view(at::kInt);
  const at::Tensor top = at::bitwise_right_shift(bits, kHalfBits).to(at::kShort);
  return {.top = top.view(at::kBFloat16), .low_bits = at::bitwise_and(bits, kLowMask).to(at::kShort)};
}

at::Tensor join_bf16(const at::Tensor& top, const at::Tensor& low_bits) {
  const at::Tensor high = at::bitwise_left_shift(top.detach().view(at::kShort).to(at::kInt), kHalfBits);
  return at::bitwise_or(high, at::bitwise_and(low_bits.to(at::kInt), kLowMask)).view(at::kFloat);
}

void split_sgd_step(std::span<SplitSgdTensors> tensors, const SgdRule& rule, double gradient_scale) {
  const at::NoGradGuard no_grad;
  rule.validate();
  DenseArrays arrays;
  ElementJobs jobs;
  for (SplitSgdTensors& item : tensors) {
    if (!item.gradient.defined()) continue;
    check(item);
    const kernels::MomentumUse use = prepare(item, rule);
    arrays.begin(item.parameter);
    const kernels::SplitArrays array{
        .top = arrays.write<uint16_t>(item.parameter),
        .rest = arrays.write<uint16_t>(item.low_bits),
        .gradient = arrays.read<uint16_t>(item.gradient),
        .momentum_buffer = use == kernels::MomentumUse::none ? nullptr : arrays.write<float>(item.momentum_buffer)};
    jobs.add(item.parameter.numel(),
             [array, step = split_sgd_kernel(),
              scalars = sgd_scalars<float>(rule, use, gradient_scale)](const ElementJobs::Chunk& chunk) {
               step(array, {chunk.begin, chunk.end}, scalars);
             });
  }
  jobs.run();
  arrays.finish();
}

}  // namespace limbeck::train
