#include "limbeck/train/schedule.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "limbeck/core/error.h"

namespace limbeck::train {

namespace {

constexpr std::array<std::pair<ScheduleKind, std::string_view>, 5> kNames = {{
    {ScheduleKind::constant, "constant"},
    {ScheduleKind::cosine, "cosine"},
    {ScheduleKind::one_cycle, "one_cycle"},
    {ScheduleKind::multistep, "multistep"},
    {ScheduleKind::plateau, "plateau"},
}};

/// From `start` to `end` along half a cosine; `progress` in [0, 1].
double anneal(double start, double end, double progress) {
  return end + (start - end) * (1 + std::cos(std::numbers::pi * progress)) / 2;
}

double one_cycle(const ScheduleOptions& options, double step, double total_steps) {
  const double first = 1 / options.start_divisor, last = first / options.final_divisor;
  const double peak_step = options.rising_fraction * total_steps - 1, last_step = total_steps - 1;
  if (step <= peak_step) return anneal(first, 1, peak_step > 0 ? step / peak_step : 1);
  return anneal(1, last, (step - peak_step) / std::max(last_step - peak_step, 1.0));
}

double cosine(const ScheduleOptions& options, double step, double total_steps) {
  return anneal(1, options.final_fraction, total_steps > 1 ? step / (total_steps - 1) : 0);
}

double multistep(const ScheduleOptions& options, int64_t epoch) {
  const auto passed = std::count_if(options.milestones.begin(), options.milestones.end(),
                                    [epoch](int64_t milestone) { return milestone <= epoch; });
  return std::pow(options.gamma, static_cast<double>(passed));
}

}  // namespace

void ScheduleOptions::validate() const {
  LIMBECK_CHECK(warmup_epochs >= 0, "[schedule] warmup_epochs must be at least 0, got {}", warmup_epochs);
  LIMBECK_CHECK(final_fraction >= 0 && final_fraction <= 1, "[schedule] final_fraction must lie in [0, 1], got {}",
                final_fraction);
  LIMBECK_CHECK(rising_fraction >= 0 && rising_fraction <= 1, "[schedule] rising_fraction must lie in [0, 1], got {}",
                rising_fraction);
  LIMBECK_CHECK(start_divisor >= 1 && final_divisor >= 1,
                "[schedule] start_divisor and final_divisor must be at least 1, got {} and {}", start_divisor,
                final_divisor);
  LIMBECK_CHECK(kind != ScheduleKind::multistep || !milestones.empty(),
                "[schedule] multistep needs milestones, such as [30, 60]: the epochs at which the rate falls");
  LIMBECK_CHECK(std::is_sorted(milestones.begin(), milestones.end()) && (milestones.empty() || milestones.front() >= 1),
                "[schedule] milestones must be epochs in rising order, from 1, got {}", fmt::join(milestones, ", "));
  LIMBECK_CHECK(gamma > 0 && gamma <= 1, "[schedule] gamma must be above 0 and at most 1, got {}", gamma);
  plateau.validate();
}

double learning_rate_factor(const ScheduleOptions& options, int64_t step, int64_t total_steps,
                            int64_t steps_per_epoch) {
  LIMBECK_ASSERT(step >= 0 && step < total_steps, "[schedule] step {} of {}", step, total_steps);
  if (options.kind == ScheduleKind::one_cycle) {
    return one_cycle(options, static_cast<double>(step), static_cast<double>(total_steps));
  }
  const auto warmup = static_cast<int64_t>(std::llround(options.warmup_epochs * static_cast<double>(steps_per_epoch)));
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  if (options.kind == ScheduleKind::constant || options.kind == ScheduleKind::plateau) return 1;
  if (options.kind == ScheduleKind::multistep) return multistep(options, step / steps_per_epoch);
  return cosine(options, static_cast<double>(step - warmup), static_cast<double>(total_steps - warmup));
}

std::string_view schedule_name(ScheduleKind kind) {
  return std::find_if(kNames.begin(), kNames.end(), [kind](const auto& entry) { return entry.first == kind; })->second;
}

ScheduleKind parse_schedule(std::string_view name) {
  for (const auto& [kind, known] : kNames) {
    if (name == known) return kind;
  }
  fail<InvalidArgument>("[schedule] kind '{}' does not exist. Use constant, cosine, one_cycle, multistep or plateau.",
                        name);
}

}  // namespace limbeck::train
