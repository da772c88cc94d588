// Latency of what can be called: warmed up, timed call by call, and, where several are compared, in turns within one
// run, so that a machine that slows down slows all of them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "limbeck/core/stop.h"

namespace limbeck::measure {

/// One thing to time. A call must have done its work when it returns: on an accelerator it waits for the device.
struct Candidate {
  std::string name;
  std::function<void()> call;
  std::int64_t items_per_call = 1;  ///< images in the batch, say
};

struct LatencyOptions {
  int warmup_calls = 10;                 ///< of each candidate, not timed
  double min_seconds = 1;                ///< timed calls go on until each candidate has run so long in sum ...
  int min_calls = 50;                    ///< ... and so often ...
  int max_calls = 10'000;                ///< ... but no more often than this
  double max_seconds = 60;               ///< of timed calls of all candidates together; at least one round is made
  const core::StopFlag* stop = nullptr;  ///< raised: what was timed until then is summed up, at least one round
  /// Told between two rounds of timed calls, of which there are `all` at most; before the warm-up, of none.
  std::function<void(std::int64_t done, std::int64_t all)> on_progress{};

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

struct LatencyResult {
  std::string name;
  std::int64_t num_calls = 0;
  double min_ms = 0;
  double p50_ms = 0;  ///< percentiles by nearest rank: each is a time that was measured
  double p90_ms = 0;
  double p99_ms = 0;
  double max_ms = 0;
  double mean_ms = 0;
  double items_per_s = 0;  ///< items of all timed calls over their time
};

/// Times the candidates round robin: one call of each per round, starting with another one in every round. Results in
/// the order of the candidates. An exception of a call passes through. Throws InvalidArgument without candidates.
std::vector<LatencyResult> measure_latency(std::span<const Candidate> candidates, const LatencyOptions& options = {});

/// The nearest-rank percentile: the smallest of the values such that at least `percent` of them are not larger. Throws
/// InvalidArgument if there are no values or percent is not in (0, 100].
double nearest_rank(std::vector<double> values, double percent);

/// The summary of measured times, one a call. Throws InvalidArgument without any.
LatencyResult summarize(const std::string& name, const std::vector<double>& seconds, std::int64_t items_per_call);

}  // namespace limbeck::measure
