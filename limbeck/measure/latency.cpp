#include "limbeck/measure/latency.h"

#include "limbeck/core/error.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

namespace limbeck::measure {
namespace {

constexpr double kMsPerSecond = 1e3;

double time_call(const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The value at `percent` of sorted values. Multiplying first keeps whole percents of whole counts exact.
double nearest_rank_of_sorted(const std::vector<double>& sorted, double percent) {
  const double rank = std::ceil(percent * static_cast<double>(sorted.size()) / 100);
  return sorted[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

// The times measured so far of one candidate.
struct Series {
  std::vector<double> seconds;
  double sum = 0;

  void add(double one) {
    seconds.push_back(one);
    sum += one;
  }
  bool is_enough(const LatencyOptions& options) const {
    return sum >= options.min_seconds && seconds.size() >= static_cast<std::size_t>(options.min_calls);
  }
};

bool is_done(const std::vector<Series>& series, const LatencyOptions& options) {
  const double total =
      std::accumulate(series.begin(), series.end(), 0.0, [](double sum, const Series& one) { return sum + one.sum; });
  const std::size_t rounds = series.front().seconds.size();
  if (rounds == 0) return false;
  return rounds >= static_cast<std::size_t>(options.max_calls) || total >= options.max_seconds ||
         std::all_of(series.begin(), series.end(), [&](const Series& one) { return one.is_enough(options); });
}

}  // namespace

void LatencyOptions::validate() const {
  LIMBECK_CHECK(warmup_calls >= 0, "[latency] warmup_calls must not be negative, got {}.", warmup_calls);
  LIMBECK_CHECK(min_seconds >= 0 && max_seconds >= min_seconds,
                "[latency] 0 <= min_seconds <= max_seconds must hold, got {} and {}.", min_seconds, max_seconds);
  LIMBECK_CHECK(min_calls >= 1 && max_calls >= min_calls,
                "[latency] 1 <= min_calls <= max_calls must hold, got {} and {}.", min_calls, max_calls);
}

double nearest_rank(std::vector<double> values, double percent) {
  LIMBECK_CHECK(!values.empty(), "[latency] a percentile needs at least one value.");
  LIMBECK_CHECK(percent > 0 && percent <= 100, "[latency] a percentile must lie in (0, 100], got {}.", percent);
  std::sort(values.begin(), values.end());
  return nearest_rank_of_sorted(values, percent);
}

LatencyResult summarize(const std::string& name, const std::vector<double>& seconds, std::int64_t items_per_call) {
  LIMBECK_CHECK(!seconds.empty(), "[latency] '{}' was not timed.", name);
  std::vector<double> sorted = seconds;
  std::sort(sorted.begin(), sorted.end());
  const auto count = static_cast<double>(sorted.size());
  const double sum = std::accumulate(sorted.begin(), sorted.end(), 0.0);
  return {.name = name,
          .num_calls = static_cast<std::int64_t>(sorted.size()),
          .min_ms = sorted.front() * kMsPerSecond,
          .p50_ms = nearest_rank_of_sorted(sorted, 50) * kMsPerSecond,
          .p90_ms = nearest_rank_of_sorted(sorted, 90) * kMsPerSecond,
          .p99_ms = nearest_rank_of_sorted(sorted, 99) * kMsPerSecond,
          .max_ms = sorted.back() * kMsPerSecond,
          .mean_ms = sum / count * kMsPerSecond,
          .items_per_s = sum > 0 ? static_cast<double>(items_per_call) * count / sum : 0};
}

std::vector<LatencyResult> measure_latency(std::span<const Candidate> candidates, const LatencyOptions& options) {
  options.validate();
  LIMBECK_CHECK(!candidates.empty(), "[latency] there is nothing to time.");
  const auto tell = [&](std::size_t rounds) {
    if (options.on_progress) options.on_progress(static_cast<std::int64_t>(rounds), options.max_calls);
  };
  tell(0);
  for (const Candidate& candidate : candidates) {
    LIMBECK_CHECK(candidate.call != nullptr && candidate.items_per_call >= 1,
                  "[latency] '{}' needs a call and at least one item per call, got {}.", candidate.name,
                  candidate.items_per_call);
    for (int i = 0; i < options.warmup_calls; ++i) candidate.call();
  }
  std::vector<Series> series(candidates.size());
  for (std::size_t round = 0; !is_done(series, options); ++round) {
    if (round > 0 && core::is_stop_requested(options.stop)) break;
    for (std::size_t turn = 0; turn < candidates.size(); ++turn) {
      const std::size_t i = (round + turn) % candidates.size();
      series[i].add(time_call(candidates[i].call));
    }
    tell(round + 1);
  }
  std::vector<LatencyResult> results;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    results.push_back(summarize(candidates[i].name, series[i].seconds, candidates[i].items_per_call));
  }
  return results;
}

}  // namespace limbeck::measure
