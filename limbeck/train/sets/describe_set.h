// The report of a set, from its members, optimizers and plan.
#pragma once

#include <cstddef>
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

}  // namespace limbeck::train
