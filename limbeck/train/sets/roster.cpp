#include "limbeck/train/sets/roster.h"

#include <algorithm>
#include <string>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/log.h"
#include "limbeck/train/sets/describe_set.h"

namespace limbeck::train {

Roster::Roster(std::vector<Member> members, std::vector<OptimizerRef> optimizers, Fusion fusion)
    : members_(std::move(members)),
      optimizers_(std::move(optimizers)),
      fusion_(fusion),
      was_warned_of_(optimizers_.size()) {
  refresh();
}

void Roster::refresh() {
  std::vector<uint64_t> now = plan_signature(members_, optimizers_);
  if (plan_ && now == signature_) return;
  plan_ = plan_updates(members_, optimizers_);
  signature_ = std::move(now);
  parameters_.clear();
  for (std::size_t i = 0; i < members_.size(); ++i) {
    parameters_.push_back(members_[i].model->parameters());
    members_[i].model->prepare(run_of_member(i));
  }
  warn_of_idle();
}

void Roster::warn_of_idle() {
  for (std::size_t i = 0; i < optimizers_.size(); ++i) {
    if (!plan_->is_idle[i] || was_warned_of_[i]) continue;
    was_warned_of_[i] = true;
    core::log_warning("{}", idle_optimizer_warning(i, *optimizers_[i]));
  }
}

std::vector<std::size_t> Roster::busy_optimizers() const {
  std::vector<std::size_t> busy;
  for (std::size_t i = 0; i < optimizers_.size(); ++i) {
    if (!plan_->is_idle[i]) busy.push_back(i);
  }
  return busy;
}

MemberRun Roster::run_of_member(std::size_t member) const { return run_of(*members_[member].role, fusion_); }

std::size_t Roster::index_of(std::string_view member) const {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].name == member) return i;
    names.push_back(members_[i].name);
  }
  fail<InvalidArgument>("[optimize] no model '{}' in the set.{}", member, nearest_hint(member, names));
}

std::size_t Roster::index_of(const OptimizerRef& optimizer) const {
  const auto same = [&](const OptimizerRef& own) { return own->identity() == optimizer->identity(); };
  const auto found = std::find_if(optimizers_.begin(), optimizers_.end(), same);
  LIMBECK_CHECK(found != optimizers_.end(), "[optimize] {} is none of the {} optimizers of the set", optimizer->name(),
                optimizers_.size());
  return static_cast<std::size_t>(found - optimizers_.begin());
}

}  // namespace limbeck::train
