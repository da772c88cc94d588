// Learning-rate schedules as pure functions of the step.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "limbeck/train/loop/plateau.h"

namespace limbeck::train {

enum class ScheduleKind : uint8_t {
  constant,
  cosine,     // Loshchilov and Hutter 2017 (arXiv:1608.03983) without restarts
  one_cycle,  // Smith and Topin 2018 (arXiv:1708.07120), cosine up and down, as torch.optim.lr_scheduler.OneCycleLR
  multistep,  // times gamma at each milestone, as torch.optim.lr_scheduler.MultiStepLR
  plateau,    // falls when the monitored metric gets no better: plateau.h
};

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::cosine;
  double warmup_epochs = 0;           // epochs of linear warm-up from 0; one_cycle has its own
  double final_fraction = 0;          // cosine: the last step's rate as a fraction of the optimizer's
  double rising_fraction = 0.3;       // one_cycle: share of all steps in which the rate rises
  double start_divisor = 25;          // one_cycle: first rate = peak / start_divisor
  double final_divisor = 1e4;         // one_cycle: last rate = first rate / final_divisor
  std::vector<int64_t> milestones{};  // multistep: finished epochs, counted from the start, warm-up included
  double gamma = 0.1;                 // multistep: factor at each milestone
  PlateauOptions plateau{};

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// The factor on the optimizer's learning rate at `step` of `total_steps` (0 <= step < total_steps). Of plateau the
/// warm-up alone: the rest depends on the epochs' results (plateau_factor).
double learning_rate_factor(const ScheduleOptions& options, int64_t step, int64_t total_steps, int64_t steps_per_epoch);

std::string_view schedule_name(ScheduleKind kind);
/// Throws InvalidArgument naming the valid ones.
ScheduleKind parse_schedule(std::string_view name);

}  // namespace limbeck::train
