// Reproducible arithmetic for the time of a training run.
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace limbeck::train {

/// RAII: ATen's deterministic algorithms on (the backward of `index` is otherwise different in every run), filling of
/// uninitialised memory off (it costs time and changes no result that is defined). Restores what was before. An op that
/// has no deterministic kernel is an error on the CPU, and on other devices a warning of ATen's: there the promise is
/// as good as their kernels.
class DeterministicScope {
 public:
  explicit DeterministicScope(at::Device device = at::kCPU);
  ~DeterministicScope();
  DeterministicScope(const DeterministicScope&) = delete;
  DeterministicScope& operator=(const DeterministicScope&) = delete;

 private:
  bool deterministic_, warn_only_, fill_;
};

/// What the bits of a run depend on besides its inputs: libtorch's version, instruction set and number of threads.
struct ArithmeticEnvironment {
  std::string libtorch;
  std::string isa;
  int threads = 1;

  static ArithmeticEnvironment current();
  std::string to_string() const;
  friend bool operator==(const ArithmeticEnvironment&, const ArithmeticEnvironment&) = default;
};

}  // namespace limbeck::train
