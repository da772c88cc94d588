// The learned policies of AutoAugment: tables 7, 8 and 9 of Cubuk et al. 2018 (arXiv:1805.09501).
#pragma once

#include "limbeck/data/transforms/auto_augment.h"

#include <array>
#include <span>

namespace limbeck::data {

/// An operation of a policy: its probability and its magnitude, 0 to 9 (ignored where the operation has none).
struct PolicyStep {
  AugmentKind kind;
  double probability;
  int magnitude;
};

using SubPolicy = std::array<PolicyStep, 2>;

/// 25 pairs, each equally likely.
std::span<const SubPolicy, 25> sub_policies(AutoAugmentPolicy policy);

}  // namespace limbeck::data
