#include "limbeck/train/determinism.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <fmt/format.h>
#include <torch/version.h>

namespace limbeck::train {

DeterministicScope::DeterministicScope(at::Device device)
    : deterministic_(at::globalContext().deterministicAlgorithms()),
      warn_only_(at::globalContext().deterministicAlgorithmsWarnOnly()),
      fill_(at::globalContext().deterministicFillUninitializedMemory()) {
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/!device.is_cpu());
  at::globalContext().setDeterministicFillUninitializedMemory(false);
}

DeterministicScope::~DeterministicScope() {
  at::globalContext().setDeterministicAlgorithms(deterministic_, warn_only_);
  at::globalContext().setDeterministicFillUninitializedMemory(fill_);
}

ArithmeticEnvironment ArithmeticEnvironment::current() {
  return {.libtorch = TORCH_VERSION, .isa = at::get_cpu_capability(), .threads = at::get_num_threads()};
}

std::string ArithmeticEnvironment::to_string() const {
  return fmt::format("libtorch {}, {}, {} threads", libtorch, isa, threads);
}

}  // namespace limbeck::train
