// Several models beside each other: accuracy with its interval, size and speed, as text, Markdown and JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "limbeck/core/json/json.h"
#include "limbeck/measure/accuracy.h"
#include "limbeck/measure/latency.h"

namespace limbeck::report {

struct ComparisonRow {
  std::string name;
  measure::AccuracyResult accuracy;
  int64_t parameters = 0;
  int64_t macs = 0;        // multiply-adds of one sample
  int64_t file_bytes = 0;  // of the model's .lmb
  std::optional<measure::LatencyResult> latency;
  std::vector<std::string> notes{};  // on how it was measured, each without a full stop
};

struct Comparison {
  std::string dataset;  // what accuracy was measured on
  int64_t latency_batch = 1;
  int threads = 1;
  std::string environment;  // libtorch, instruction set, threads
  std::string machine;      // CPU as the kernel names it
  std::vector<ComparisonRow> rows;
};

/// A table of at most `width` columns with a line below it that says what was measured and how.
std::string to_text(const Comparison& comparison, std::size_t width = 80);
std::string to_markdown(const Comparison& comparison);
core::Json to_json(const Comparison& comparison);
/// Inverse of to_json. Throws IoError naming what is wrong.
Comparison comparison_from_json(const core::JsonView& json);

core::Json to_json(const measure::AccuracyResult& accuracy);
core::Json to_json(const measure::LatencyResult& latency);

}  // namespace limbeck::report
