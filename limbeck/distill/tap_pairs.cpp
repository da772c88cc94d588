#include "limbeck/distill/tap_pairs.h"

#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/model/inputs.h"
#include "limbeck/train/losses.h"

namespace limbeck::distill {

namespace {

/// The tensors of all adapters under "adapter0.conv.weight".
template <class Read>
std::vector<NamedTensor> prefixed(const std::vector<BoundTerm>& terms, const Read& read) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, adapter] : adapters_of(terms)) {
    for (NamedTensor& tensor : read(adapter)) tensors.push_back({name + "." + tensor.name, std::move(tensor.tensor)});
  }
  return tensors;
}

}  // namespace

/// The pairs themselves, shared by the handles and by the sets that they joined.
class TapPairs::Member : public train::SetMember {
 public:
  explicit Member(std::vector<BoundTerm> terms) : terms_(std::move(terms)) {}

  std::vector<BoundTerm>& terms() { return terms_; }

  std::string type() const override { return "limbeck::distill::TapPairs"; }
  std::vector<NamedTensor> parameters() const override {
    return prefixed(terms_, [](const Model& adapter) { return adapter.named_parameters(); });
  }
  std::vector<NamedTensor> buffers() const override {
    return prefixed(terms_, [](const Model& adapter) { return adapter.named_buffers(); });
  }
  bool is_training() const override { return true; }
  train::MemberNotes notes(train::Precision) const override { return {.left = {"mse() runs adapters in float32"}}; }

  Outputs run(const Inputs& inputs, const train::MemberRun& how) override {
    Outputs given, adapted;
    given.taps = inputs.tensors();
    for (BoundTerm& term : terms_) {
      adapted.tensors.push_back({term.term.student_tap, adapt(term, given.tap(term.term.student_tap), how)});
    }
    return adapted;
  }

  static at::Tensor adapt(BoundTerm& term, const at::Tensor& feature, const train::MemberRun& how) {
    const at::Tensor pooled = pool_to(feature, term.plan.pool_student);
    if (!term.adapter) return pooled;
    const Outputs outputs = term.adapter->forward(pooled, {.state_updates = how.state_updates, .mode = how.mode});
    return outputs.tensors.front().tensor;
  }

 private:
  std::vector<BoundTerm> terms_;
};

TapPairs::TapPairs(const Model& student, const Model& teacher, const std::vector<TapPair>& pairs,
                   const at::Tensor& two_samples, uint64_t seed) {
  DistillOptions options{.seed = seed};
  for (const TapPair& pair : pairs)
    options.features.push_back({.student_tap = pair.student, .teacher_tap = pair.teacher});
  member_ = std::make_shared<Member>(bind_terms(student, teacher, two_samples, options));
}

std::vector<std::string> TapPairs::of_student() const {
  std::vector<std::string> taps;
  for (const BoundTerm& term : member_->terms()) taps.push_back(term.term.student_tap);
  return taps;
}

std::vector<std::string> TapPairs::of_teacher() const { return teacher_taps(member_->terms()); }

std::vector<at::Tensor> TapPairs::parameters() const {
  std::vector<at::Tensor> tensors;
  for (const NamedTensor& parameter : member_->parameters()) tensors.push_back(parameter.tensor);
  return tensors;
}

std::vector<std::pair<std::string, Model>> TapPairs::adapters() const { return adapters_of(member_->terms()); }

at::Tensor TapPairs::mse(const Outputs& student, const Outputs& teacher) const {
  const train::MemberRun how{.mode = graph::Mode::train, .state_updates = StateUpdates::apply};
  at::Tensor sum = at::zeros({});
  for (BoundTerm& term : member_->terms()) {
    const at::Tensor feature = student.tap(term.term.student_tap);
    const at::Tensor target = pool_to(teacher.tap(term.term.teacher_tap), term.plan.pool_teacher);
    sum = sum + feature_mse(Member::adapt(term, train::in_loss_precision(feature), how), target);
  }
  return sum;
}

TapPairs::operator train::MemberRef() const { return {std::static_pointer_cast<train::SetMember>(member_)}; }

TapPairs pair(const Model& student, const Model& teacher, const std::vector<TapPair>& pairs) {
  const std::optional<std::vector<int64_t>> sizes = sample_sizes(student.graph());
  LIMBECK_CHECK(sizes.has_value(),
                "[distill] the student's input has open sizes: pair features by TapPairs(student, teacher, pairs, "
                "two_samples)");
  std::vector<int64_t> two{2};
  two.insert(two.end(), sizes->begin(), sizes->end());
  return {student, teacher, pairs, at::zeros(two)};
}

std::vector<at::Tensor> concat(std::vector<at::Tensor> first, const std::vector<at::Tensor>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace limbeck::distill
