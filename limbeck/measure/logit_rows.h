// Logits of a batch as rows of doubles on the CPU: what the metrics compute from.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace limbeck::measure {

/// A batch of logits [B, C] converted to double; row(i) has C values.
class LogitRows {
 public:
  /// Throws InvalidArgument, in the name of `where`, unless `logits` is a float tensor [B, num_classes].
  LogitRows(const at::Tensor& logits, std::int64_t num_classes, const char* where);

  std::int64_t size() const { return values_.size(0); }
  std::span<const double> row(std::int64_t index) const {
    return {values_.const_data_ptr<double>() + index * num_classes_, static_cast<std::size_t>(num_classes_)};
  }

 private:
  at::Tensor values_;
  std::int64_t num_classes_;
};

/// log(sum(exp(row))), without overflow.
double log_sum_exp(std::span<const double> row);

/// Index of the largest value, the first of equal ones. The row is not empty and has no NaN.
std::int64_t largest(std::span<const double> row);

bool has_nan(std::span<const double> row);

}  // namespace limbeck::measure
