// What every update rule asks of the tensors that it is given. Used by the rules alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

namespace limbeck::train {

/// Which parameter of which rule a message is about.
struct UpdateSite {
  std::string_view rule;       // "sgd"
  std::string_view parameter;  // its name; empty where unknown

  /// "[sgd] parameter 'fc.weight'", or "[sgd] a parameter".
  std::string to_string() const;
};

/// Throws InvalidArgument unless the gradient has the parameter's shape, dtype and device and both are real floating
/// point; Unsupported for a sparse gradient.
void check_gradient(const UpdateSite& site, const at::Tensor& parameter, const at::Tensor& gradient);

/// Throws InvalidArgument unless the state tensor has the parameter's shape, dtype and device. Undefined: nothing to
/// check.
void check_state(const UpdateSite& site, std::string_view field, const at::Tensor& parameter, const at::Tensor& state);

/// Throws InvalidArgument unless 0 <= value, NaN included.
void check_at_least_zero(std::string_view rule, std::string_view field, double value);

/// Throws InvalidArgument unless 0 <= value < 1.
void check_fraction(std::string_view rule, std::string_view field, double value);

}  // namespace limbeck::train
