// How close one model's outputs are to another's on the same inputs: a student's to its teacher's, a quantized model's
// to the original's.
#pragma once

#include "limbeck/measure/accuracy.h"

namespace limbeck::measure {

struct AgreementResult {
  std::int64_t num_samples = 0;
  std::int64_t num_agree = 0;  ///< samples for which both have the largest logit at the same class
  double agreement = 0;        ///< share, 0..1
  Interval agreement_interval;
  double kl = 0;                  ///< mean of KL(softmax(reference) ‖ softmax(model)), in nats
  double max_abs_difference = 0;  ///< of any two logits
};

/// Gathers an AgreementResult batch by batch, in double precision. A sample with a NaN in either row does not agree and
/// makes kl and max_abs_difference NaN. Used by one thread at a time.
class Agreement {
 public:
  /// Adds a batch. Shapes: reference, model [B, C], any float dtypes and devices. Throws InvalidArgument if they
  /// differ.
  void add(const at::Tensor& reference, const at::Tensor& model);

  /// Of all batches so far; zeros without any.
  AgreementResult result() const;

 private:
  void add_sample(std::span<const double> reference, std::span<const double> model);

  std::int64_t num_samples_ = 0;
  std::int64_t num_agree_ = 0;
  double sum_kl_ = 0;
  double max_abs_difference_ = 0;
};

/// KL(softmax(reference) ‖ softmax(model)) of two rows of logits, in nats; infinite where the model rules a class out
/// (logit -inf) that the reference does not.
double kl_divergence(std::span<const double> reference, std::span<const double> model);

}  // namespace limbeck::measure
