#include "limbeck/measure/agreement.h"

#include "limbeck/core/error.h"
#include "limbeck/measure/logit_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace limbeck::measure {

double kl_divergence(std::span<const double> reference, std::span<const double> model) {
  const double reference_normalizer = log_sum_exp(reference), model_normalizer = log_sum_exp(model);
  double sum = 0;
  for (std::size_t c = 0; c < reference.size(); ++c) {
    const double log_p = reference[c] - reference_normalizer;
    const double p = std::exp(log_p);
    if (p > 0) sum += p * (log_p - (model[c] - model_normalizer));  // 0 · log 0 is 0
  }
  return sum;
}

void Agreement::add(const at::Tensor& reference, const at::Tensor& model) {
  LIMBECK_CHECK(reference.defined() && reference.dim() == 2 && reference.size(1) >= 1,
                "[agreement] logits must be float tensors [B, C] with at least one class.");
  const LogitRows reference_rows(reference, reference.size(1), "agreement");
  const LogitRows model_rows(model, reference.size(1), "agreement");
  LIMBECK_CHECK(reference_rows.size() == model_rows.size(),
                "[agreement] both models must have seen the same samples, got {} and {}.", reference_rows.size(),
                model_rows.size());
  for (std::int64_t i = 0; i < model_rows.size(); ++i) add_sample(reference_rows.row(i), model_rows.row(i));
}

void Agreement::add_sample(std::span<const double> reference, std::span<const double> model) {
  ++num_samples_;
  if (has_nan(reference) || has_nan(model)) {
    sum_kl_ = max_abs_difference_ = std::numeric_limits<double>::quiet_NaN();
    return;
  }
  num_agree_ += largest(reference) == largest(model);
  sum_kl_ += kl_divergence(reference, model);
  for (std::size_t c = 0; c < model.size(); ++c) {
    if (reference[c] == model[c]) continue;  // equal infinities differ by nothing
    // A NaN from an earlier sample stays: it compares false.
    const double difference = std::abs(reference[c] - model[c]);
    if (difference > max_abs_difference_) max_abs_difference_ = difference;
  }
}

AgreementResult Agreement::result() const {
  if (num_samples_ == 0) return {};
  const auto count = static_cast<double>(num_samples_);
  return {.num_samples = num_samples_,
          .num_agree = num_agree_,
          .agreement = static_cast<double>(num_agree_) / count,
          .agreement_interval = wilson_interval(num_agree_, num_samples_),
          .kl = sum_kl_ / count,
          .max_abs_difference = max_abs_difference_};
}

}  // namespace limbeck::measure
