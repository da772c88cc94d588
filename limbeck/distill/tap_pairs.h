// Features of a student and a teacher that are compared in a loop of one's own: pairs of taps, with the adapters that
// bring them to one shape. For optimize() the adapters are one more model of the set.
//
//   TapPairs taps = pair(student, teacher, {{"layer3", "layer3"}});
//   auto set = optimize({..., {"taps", taps, Role::train}}, {&optimizer});   // one that owns taps.parameters()
//   Outputs s = set.forward("student", x, {.taps = taps.of_student()}), t = ...;
//   set.backward(kd(...) + 100 * taps.mse(s, t));
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "limbeck/distill/distiller.h"
#include "limbeck/train/sets/set_member.h"

namespace limbeck::distill {

struct TapPair {
  std::string student;  // scope[@call][#i]
  std::string teacher;
};

class TapPairs {
 public:
  /// Runs `two_samples` through both models in eval mode, without changing either, and builds the adapters. Throws what
  /// bind_terms throws.
  TapPairs(const Model& student, const Model& teacher, const std::vector<TapPair>& pairs, const at::Tensor& two_samples,
           uint64_t seed = 0);

  /// The taps to ask of each model's forward.
  std::vector<std::string> of_student() const;
  std::vector<std::string> of_teacher() const;
  /// Of all adapters: for an optimizer.
  std::vector<at::Tensor> parameters() const;
  /// The adapters as "adapter0", "adapter1", ...: where a pair needs none, its number is left out.
  std::vector<std::pair<std::string, Model>> adapters() const;

  /// The sum over the pairs of feature_mse(adapter(student), teacher), a scalar. Computed in float32 with the adapters
  /// in train mode: their running statistics follow. The teacher gets no gradient. Throws InvalidArgument where a tap
  /// was not asked for.
  at::Tensor mse(const Outputs& student, const Outputs& teacher) const;

  /// The adapters as a member of a set; its inputs are the student's taps by name, its outputs adapted ones.
  operator train::MemberRef() const;

 private:
  class Member;
  std::shared_ptr<Member> member_;
};

/// TapPairs from zeros of the student's own input size. Throws InvalidArgument where that is open: pass two samples to
/// TapPairs then.
TapPairs pair(const Model& student, const Model& teacher, const std::vector<TapPair>& pairs);

/// All tensors of both, in order: parameters for one optimizer.
std::vector<at::Tensor> concat(std::vector<at::Tensor> first, const std::vector<at::Tensor>& second);

}  // namespace limbeck::distill
