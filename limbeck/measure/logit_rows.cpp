#include "limbeck/measure/logit_rows.h"

#include "limbeck/core/error.h"

#include <algorithm>
#include <cmath>

namespace limbeck::measure {

LogitRows::LogitRows(const at::Tensor& logits, std::int64_t num_classes, const char* where)
    : num_classes_(num_classes) {
  LIMBECK_CHECK(logits.defined() && logits.is_floating_point() && logits.dim() == 2,
                "[{}] logits must be a float tensor [B, C].", where);
  LIMBECK_CHECK(logits.size(1) == num_classes, "[{}] logits must have {} classes, got {}.", where, num_classes,
                logits.size(1));
  values_ = logits.detach().to(at::kCPU, at::kDouble).contiguous();
}

double log_sum_exp(std::span<const double> row) {
  const double top = *std::max_element(row.begin(), row.end());
  if (std::isinf(top)) return top;
  double sum = 0;
  for (const double value : row) sum += std::exp(value - top);
  return top + std::log(sum);
}

std::int64_t largest(std::span<const double> row) { return std::max_element(row.begin(), row.end()) - row.begin(); }

bool has_nan(std::span<const double> row) {
  return std::any_of(row.begin(), row.end(), [](double value) { return std::isnan(value); });
}

}  // namespace limbeck::measure
