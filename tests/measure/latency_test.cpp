#include "limbeck/measure/latency.h"

#include "limbeck/core/error.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

namespace limbeck::measure {
namespace {

LatencyOptions calls(int count) {
  return {.warmup_calls = 0, .min_seconds = 0, .min_calls = count, .max_calls = count, .max_seconds = 60};
}

TEST(NearestRank, IsAMeasuredValue) {
  // The example of Wikipedia's article "Percentile", nearest-rank method.
  const std::vector<double> values{35, 20, 15, 50, 40};
  EXPECT_EQ(nearest_rank(values, 5), 15);
  EXPECT_EQ(nearest_rank(values, 30), 20);
  EXPECT_EQ(nearest_rank(values, 40), 20);
  EXPECT_EQ(nearest_rank(values, 50), 35);
  EXPECT_EQ(nearest_rank(values, 100), 50);
  EXPECT_EQ(nearest_rank({7}, 1), 7);
  EXPECT_THROW(nearest_rank({}, 50), InvalidArgument);
  EXPECT_THROW(nearest_rank(values, 0), InvalidArgument);
  EXPECT_THROW(nearest_rank(values, 101), InvalidArgument);
}

TEST(Summarize, ComputesPercentilesMeanAndThroughput) {
  std::vector<double> seconds(100);
  std::iota(seconds.rbegin(), seconds.rend(), 1.0);  // 100, 99, ... 1
  const LatencyResult result = summarize("x", seconds, 4);
  EXPECT_EQ(result.num_calls, 100);
  EXPECT_DOUBLE_EQ(result.min_ms, 1e3);
  EXPECT_DOUBLE_EQ(result.p50_ms, 50e3);
  EXPECT_DOUBLE_EQ(result.p90_ms, 90e3);
  EXPECT_DOUBLE_EQ(result.p99_ms, 99e3);
  EXPECT_DOUBLE_EQ(result.max_ms, 100e3);
  EXPECT_DOUBLE_EQ(result.mean_ms, 50.5e3);
  EXPECT_DOUBLE_EQ(result.items_per_s, 400 / 5050.0);
  EXPECT_THROW(summarize("x", {}, 1), InvalidArgument);
}

TEST(MeasureLatency, TakesTurnsAndChangesWhoBegins) {
  std::string order;
  const std::vector<Candidate> candidates{
      {"a", [&] { order += 'a'; }}, {"b", [&] { order += 'b'; }}, {"c", [&] { order += 'c'; }}};
  LatencyOptions options = calls(4);
  options.warmup_calls = 2;
  const auto results = measure_latency(candidates, options);
  EXPECT_EQ(order,
            "aabbcc"
            "abc"
            "bca"
            "cab"
            "abc");
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results[1].name, "b");
  EXPECT_EQ(results[1].num_calls, 4);
}

TEST(MeasureLatency, TellsItsProgressBetweenRounds) {
  std::string order;
  const std::vector<Candidate> candidates{{"a", [&] { order += 'a'; }}, {"b", [&] { order += 'b'; }}};
  LatencyOptions options = calls(2);
  options.warmup_calls = 1;
  options.on_progress = [&](std::int64_t done, std::int64_t all) { order += fmt::format(" {}/{} ", done, all); };
  measure_latency(candidates, options);
  EXPECT_EQ(order, " 0/2 abab 1/2 ba 2/2 ");
}

TEST(MeasureLatency, MeasuresTime) {
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(5)); };
  const std::vector<Candidate> candidates{{"slow", pause, 2}, {"fast", [] {}}};
  const auto results = measure_latency(candidates, calls(10));
  EXPECT_GE(results[0].min_ms, 5);
  EXPECT_LE(results[0].items_per_s, 400);
  EXPECT_LT(results[1].p50_ms, 5);
}

TEST(MeasureLatency, GoesOnUntilItHasEnoughOrMayNotGoOn) {
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
  const std::vector<Candidate> one{{"x", pause}};
  const auto run = [&](const LatencyOptions& options) { return measure_latency(one, options).front().num_calls; };
  EXPECT_EQ(run({.warmup_calls = 0, .min_seconds = 0, .min_calls = 7}), 7);
  EXPECT_EQ(run({.warmup_calls = 0, .min_seconds = 60, .min_calls = 1, .max_calls = 9}), 9);
  EXPECT_LE(run({.warmup_calls = 0, .min_seconds = 0.02, .min_calls = 1}), 20);
  EXPECT_LE(run({.warmup_calls = 0, .min_seconds = 0, .min_calls = 1000, .max_seconds = 0.02}), 20);
  EXPECT_EQ(run({.warmup_calls = 0, .min_seconds = 0, .max_seconds = 0}), 1) << "at least one round";
}

TEST(MeasureLatency, RefusesNothingAndBadOptions) {
  const std::vector<Candidate> none, empty{{"x", nullptr}}, no_items{{"x", [] {}, 0}}, fine{{"x", [] {}}};
  EXPECT_THROW(measure_latency(none), InvalidArgument);
  EXPECT_THROW(measure_latency(empty, calls(1)), InvalidArgument);
  EXPECT_THROW(measure_latency(no_items, calls(1)), InvalidArgument);
  EXPECT_THROW(measure_latency(fine, {.warmup_calls = -1}), InvalidArgument);
  EXPECT_THROW(measure_latency(fine, {.min_seconds = 61}), InvalidArgument);
  EXPECT_THROW(measure_latency(fine, {.min_calls = 0}), InvalidArgument);
  EXPECT_THROW(measure_latency(fine, {.min_calls = 5, .max_calls = 4}), InvalidArgument);
}

TEST(MeasureLatency, PassesExceptionsOn) {
  const std::vector<Candidate> one{{"x", [] { throw IoError("gone"); }}};
  EXPECT_THROW(measure_latency(one, calls(1)), IoError);
}

}  // namespace
}  // namespace limbeck::measure
