// The models and optimizers of a set, with what a step of them updates as things are now.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "limbeck/train/sets/role_scope.h"
#include "limbeck/train/sets/update_plan.h"

namespace limbeck::train {

class Roster {
 public:
  /// Throws InvalidArgument for who owns what, as optimize() says. The optimizers must outlive it.
  Roster(std::vector<Member> members, std::vector<OptimizerRef> optimizers, Fusion fusion);

  /// Finds ownership anew where groups or models have changed since it was last found, and prepares the models' runs.
  /// Throws as the constructor does.
  void refresh();

  const std::vector<Member>& members() const { return members_; }
  const std::vector<OptimizerRef>& optimizers() const { return optimizers_; }
  /// As of the last refresh().
  const UpdatePlan& plan() const { return *plan_; }
  const std::vector<NamedTensor>& parameters(std::size_t member) const { return parameters_[member]; }
  /// The optimizers that update something, in their order.
  std::vector<std::size_t> busy_optimizers() const;

  /// How a model is run in its role.
  MemberRun run_of_member(std::size_t member) const;

  /// Throw InvalidArgument, for a name with the nearest ones, where the set does not have it.
  std::size_t index_of(std::string_view member) const;
  std::size_t index_of(const OptimizerRef& optimizer) const;

 private:
  void warn_of_idle();

  std::vector<Member> members_;
  std::vector<OptimizerRef> optimizers_;
  Fusion fusion_;
  std::vector<uint64_t> signature_;
  std::optional<UpdatePlan> plan_;                    // as of `signature_`
  std::vector<std::vector<NamedTensor>> parameters_;  // by member, as of `signature_`
  std::vector<bool> was_warned_of_;                   // by optimizer
};

}  // namespace limbeck::train
