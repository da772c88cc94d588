// Runs of one recipe beside each other: what was set, and how the models of each did, with mean and standard deviation
// over the seeds.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "limbeck/core/json/json.h"

namespace limbeck::report {

/// An accuracy of one model of a run.
struct TrialScore {
  std::string model;
  std::string metric;  // "top-1" (on the test set), "val top-1", "train top-1"
  double value = 0;    // a share
};

struct TrialRow {
  std::string name;
  std::vector<std::pair<std::string, std::string>> settings{};  // of the sweep
  uint64_t seed = 0;
  std::vector<TrialScore> scores{};
};

struct TrialTable {
  std::vector<TrialRow> rows;
};

/// The values of one model under the same settings, over the seeds.
struct SeedStatistics {
  std::vector<std::pair<std::string, std::string>> settings{};
  std::string model, metric;
  std::vector<double> values{};  // in the order of the runs
  double mean = 0;
  double stddev = 0;  // of a sample (n - 1); 0 for one value
};

/// One entry for each of the settings and models, in the order of the runs.
std::vector<SeedStatistics> seed_statistics(const TrialTable& table);

/// A table of at most `width` columns, where cells can be wrapped.
std::string to_text(const TrialTable& table, std::size_t width = 80);
std::string to_markdown(const TrialTable& table);
/// {"runs": [...], "statistics": [...]}
core::Json to_json(const TrialTable& table);

}  // namespace limbeck::report
