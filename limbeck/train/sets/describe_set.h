// The report of a set, from its members, optimizers and plan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "limbeck/train/sets/optimizer_ref.h"
#include "limbeck/train/sets/set_report.h"
#include "limbeck/train/sets/update_plan.h"

namespace limbeck::train {

SetReport describe_set(const std::vector<Member>& members, const std::vector<OptimizerRef>& optimizers,
                       const UpdatePlan& plan, Precision precision);

/// What is said of an optimizer that owns nothing trained.
std::string idle_optimizer_warning(std::size_t index, const OptimizerAdapter& optimizer);

/// What stands beside an exception from the step of optimizer `failed`, one of those that were to step in the order of
/// `which`: who had updated by then and who had not.
std::string half_made_step_note(int64_t step, const std::vector<OptimizerRef>& optimizers,
                                const std::vector<std::size_t>& which, std::size_t failed);

}  // namespace limbeck::train
