// Low-precision copies of weights under autocast, kept from run to run: made once for each version of a parameter
// instead of once a run. A training step of several micro-batches casts its weights once, a frozen teacher's are cast
// once in all. What runs give, gradients included, has the bits of autocast without it.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <unordered_map>

namespace limbeck {

/// For one thread at a time. Parameters are known by identity and never held: one that is replaced is forgotten.
class WeightCache {
 public:
  /// The float32 CPU tensor `parameter` in `dtype`. Gradients flow to the parameter where it requires them and
  /// gradients are on. A copy is made anew where the parameter's version counter, memory or layout have changed, or one
  /// of a few elements that are looked at each time: writes through `.data` are not counted, and change them all as a
  /// rule.
  at::Tensor cast(const at::Tensor& parameter, at::ScalarType dtype);

  /// Of what an optimizer is about to write: its next copy is made anew in any case.
  void forget(const at::Tensor& parameter);

  /// Copies made so far.
  int64_t num_conversions() const { return num_conversions_; }

 private:
  friend class WeightCacheScope;
  static constexpr std::size_t kProbes = 8;

  struct Copy {
    c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl> parameter;
    at::Tensor values{};  // in low precision, without history
    at::Tensor of_run{};  // the same with gradients to the parameter, for one run
    int64_t version = 0;  // of the parameter when it was copied
    const void* memory = nullptr;
    std::array<float, kProbes> probes{};
  };
  static bool is_current(const Copy& copy, const at::Tensor& parameter, at::ScalarType dtype);
  Copy& copy_of(const at::Tensor& parameter, at::ScalarType dtype);
  void end_run();

  std::unordered_map<const void*, Copy> copies_;  // by TensorImpl
  int64_t num_conversions_ = 0;
};

/// RAII around a run, as Autocast is: models that this thread runs under autocast on the CPU take their weights from
/// `cache`. Within a scope all uses of a weight share one cast in the backward, as in one region of autocast.
class WeightCacheScope {
 public:
  explicit WeightCacheScope(WeightCache& cache);
  ~WeightCacheScope();
  WeightCacheScope(const WeightCacheScope&) = delete;
  WeightCacheScope& operator=(const WeightCacheScope&) = delete;

 private:
  WeightCache& cache_;
  WeightCache* previous_;
};

/// Of the innermost scope on this thread, or null.
WeightCache* current_weight_cache();

}  // namespace limbeck
