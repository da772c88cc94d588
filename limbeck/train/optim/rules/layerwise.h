// What the layer-wise rules LAMB and LARS have in common.
#pragma once

#include <cstdint>

namespace at {
class Tensor;
}

namespace limbeck::train {

/// Which parameters take a rate of their own from the ratio of norms.
enum class Adaptation : uint8_t {
  all,
  matrices,  // those of two dimensions and more: biases and the scales of norms take the plain rate
};

/// Whether a parameter takes a rate of its own.
bool is_adapted(Adaptation adaptation, const at::Tensor& parameter);

}  // namespace limbeck::train
