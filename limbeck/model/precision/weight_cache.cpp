#include "limbeck/model/precision/weight_cache.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstring>
#include <utility>

namespace limbeck {

namespace {

thread_local WeightCache* active_cache = nullptr;

/// copy = cast(parameter), whose gradient is cast back: the node that autocast's own cast would leave.
struct CastFunction : torch::autograd::Function<CastFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& /*parameter*/,
                            const at::Tensor& copy) {
    return copy.detach();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list& gradients) {
    return {gradients[0].to(at::kFloat), at::Tensor()};
  }
};

/// Evenly over the tensor's memory, which has no gaps.
template <std::size_t kCount>
std::array<float, kCount> probes_of(const at::Tensor& parameter) {
  std::array<float, kCount> probes{};
  const auto* values = static_cast<const float*>(parameter.const_data_ptr());
  const int64_t last = parameter.numel() - 1;
  for (std::size_t i = 0; i < kCount; ++i)
    probes[i] = values[last * static_cast<int64_t>(i) / static_cast<int64_t>(kCount - 1)];
  return probes;
}

/// What a copy can be kept of. Inference tensors count no versions.
bool is_cacheable(const at::Tensor& parameter) {
  return parameter.device().is_cpu() && parameter.scalar_type() == at::kFloat && parameter.numel() > 0 &&
         parameter.is_non_overlapping_and_dense() && !parameter.is_inference();
}

}  // namespace

/// Probes compare as bits: a NaN that stays is no change.
bool WeightCache::is_current(const Copy& copy, const at::Tensor& parameter, at::ScalarType dtype) {
  if (copy.parameter.expired() || copy.version != parameter._version() || copy.values.scalar_type() != dtype)
    return false;
  if (copy.memory != parameter.const_data_ptr() || copy.values.strides() != parameter.strides()) return false;
  const auto probes = probes_of<kProbes>(parameter);
  return std::memcmp(probes.data(), copy.probes.data(), sizeof(probes)) == 0;
}

WeightCache::Copy& WeightCache::copy_of(const at::Tensor& parameter, at::ScalarType dtype) {
  const void* key = parameter.unsafeGetTensorImpl();
  const auto known = copies_.find(key);
  if (known != copies_.end() && is_current(known->second, parameter, dtype)) return known->second;
  if (known == copies_.end())
    std::erase_if(copies_, [](const auto& entry) { return entry.second.parameter.expired(); });
  const at::NoGradGuard no_grad;
  ++num_conversions_;
  Copy copy{
      .parameter = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>(parameter.getIntrusivePtr()),
      .values = parameter.to(dtype),
      .version = static_cast<int64_t>(parameter._version()),
      .memory = parameter.const_data_ptr(),
      .probes = probes_of<kProbes>(parameter)};
  return copies_.insert_or_assign(key, std::move(copy)).first->second;
}

at::Tensor WeightCache::cast(const at::Tensor& parameter, at::ScalarType dtype) {
  if (!is_cacheable(parameter)) return parameter.to(dtype);
  Copy& copy = copy_of(parameter, dtype);
  if (!parameter.requires_grad() || !at::GradMode::is_enabled()) return copy.values;
  if (!copy.of_run.defined()) copy.of_run = CastFunction::apply(parameter, copy.values);
  return copy.of_run;
}

void WeightCache::forget(const at::Tensor& parameter) { copies_.erase(parameter.unsafeGetTensorImpl()); }

void WeightCache::end_run() {
  for (auto& [key, copy] : copies_) copy.of_run.reset();
}

WeightCacheScope::WeightCacheScope(WeightCache& cache) : cache_(cache), previous_(active_cache) {
  active_cache = &cache;
}

WeightCacheScope::~WeightCacheScope() {
  active_cache = previous_;
  cache_.end_run();
}

WeightCache* current_weight_cache() { return active_cache; }

}  // namespace limbeck
