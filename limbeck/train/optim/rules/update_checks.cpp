#include "limbeck/train/optim/rules/update_checks.h"

#include <fmt/ranges.h>

#include "limbeck/core/error.h"

namespace limbeck::train {

namespace {

std::string describe(const at::Tensor& tensor) {
  return fmt::format("{} {} on {}", c10::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), "x"),
                     tensor.device().str());
}

bool is_like(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && a.device() == b.device();
}

}  // namespace

std::string UpdateSite::to_string() const {
  return parameter.empty() ? fmt::format("[{}] a parameter", rule)
                           : fmt::format("[{}] parameter '{}'", rule, parameter);
}

void check_gradient(const UpdateSite& site, const at::Tensor& parameter, const at::Tensor& gradient) {
  if (gradient.layout() != at::kStrided) {
    fail<Unsupported>(
        "{} has a sparse gradient, which this rule does not take. Make it dense: sparse=False in the "
        "embedding, or gradient.to_dense()",
        site.to_string());
  }
  LIMBECK_CHECK(at::isFloatingType(parameter.scalar_type()), "{} must be real floating point, got {}", site.to_string(),
                describe(parameter));
  LIMBECK_CHECK(is_like(parameter, gradient), "{} ({}) needs a gradient of its own shape, dtype and device, got {}",
                site.to_string(), describe(parameter), describe(gradient));
}

void check_state(const UpdateSite& site, std::string_view field, const at::Tensor& parameter, const at::Tensor& state) {
  LIMBECK_CHECK(
      !state.defined() || is_like(parameter, state),
      "{} ({}) needs a state '{}' of its own shape, dtype and device, got {}. Was it saved for another model?",
      site.to_string(), describe(parameter), field, describe(state));
}

void check_at_least_zero(std::string_view rule, std::string_view field, double value) {
  LIMBECK_CHECK(value >= 0, "[{}] {} must be at least 0, got {}", rule, field, value);
}

void check_fraction(std::string_view rule, std::string_view field, double value) {
  LIMBECK_CHECK(value >= 0 && value < 1, "[{}] {} must lie in [0, 1), got {}", rule, field, value);
}

}  // namespace limbeck::train
