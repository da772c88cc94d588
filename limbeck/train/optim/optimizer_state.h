// What an optimizer keeps of each parameter, and what that is called in files.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "limbeck/graph/weights/tensor_storage.h"
#include "limbeck/train/optim/optimizer_options.h"

namespace limbeck::train {

struct ParameterState {
  std::array<at::Tensor, 3> tensors;  // in the order of state_fields; undefined: not made yet
  int64_t step = 0;                   // updates made
};

/// One tensor of the state.
struct StateField {
  const char* name;                                    // PyTorch's
  std::optional<at::ScalarType> dtype = std::nullopt;  // nothing: the parameter's
  bool is_optional = false;                            // may be missing where the others are there
};

/// The tensors that an optimizer of these options keeps.
std::span<const StateField> state_fields(const OptimizerOptions& options);
/// Whether it counts updates: the field "step".
bool counts_steps(OptimizerKind kind);
/// What a file's number says about updates made; nothing unless it is whole and in 0..2^53, so that float64 holds it.
std::optional<int64_t> update_count(double number);

/// One update of a group from its parameters' gradients; `states` are those of its parameters, in their order.
void step_group(const std::vector<weights::NamedTensor>& parameters, const OptimizerOptions& options,
                std::span<ParameterState*> states, double gradient_scale);

}  // namespace limbeck::train
