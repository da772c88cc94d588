#include "limbeck/graph/value.h"

namespace limbeck::graph {

const char* mode_name(Mode mode) {
  switch (mode) {
    case Mode::none:
      return "none";
    case Mode::train:
      return "train";
    case Mode::eval:
      return "eval";
    case Mode::both:
      return "both";
  }
  return "invalid";
}

std::optional<int64_t> Argument::as_int() const {
  const IntExpr* expr = integer();
  return expr ? expr->constant() : std::nullopt;
}

std::optional<double> Argument::as_double() const {
  if (const double* number = std::get_if<double>(&kind)) return *number;
  if (const std::optional<int64_t> number = as_int()) return static_cast<double>(*number);
  return std::nullopt;
}

std::optional<bool> Argument::as_bool() const {
  if (const bool* flag = std::get_if<bool>(&kind)) return *flag;
  return std::nullopt;
}

}  // namespace limbeck::graph
