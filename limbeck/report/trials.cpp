#include "limbeck/report/trials.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "limbeck/core/format.h"
#include "limbeck/core/table.h"

namespace limbeck::report {

using core::Json;

namespace {

SeedStatistics& entry_for(std::vector<SeedStatistics>& all, const TrialRow& row, const TrialScore& score) {
  const auto known = std::find_if(all.begin(), all.end(), [&](const SeedStatistics& entry) {
    return entry.settings == row.settings && entry.model == score.model && entry.metric == score.metric;
  });
  if (known != all.end()) return *known;
  all.push_back({.settings = row.settings, .model = score.model, .metric = score.metric});
  return all.back();
}

void summarize(SeedStatistics& entry) {
  const auto count = static_cast<double>(entry.values.size());
  for (const double value : entry.values) entry.mean += value / count;
  if (entry.values.size() < 2) return;
  double squares = 0;
  for (const double value : entry.values) squares += (value - entry.mean) * (value - entry.mean);
  entry.stddev = std::sqrt(squares / (count - 1));
}

bool has_several_seeds(const std::vector<SeedStatistics>& statistics) {
  return std::any_of(statistics.begin(), statistics.end(), [](const auto& entry) { return entry.values.size() > 1; });
}

/// Runs of one group differ in nothing but their seed.
core::Table make_table(const TrialTable& table) {
  using Align = core::Table::Align;
  const std::vector<SeedStatistics> statistics = seed_statistics(table);
  const bool has_seeds = has_several_seeds(statistics);
  std::vector<core::Table::Column> columns;
  if (!table.rows.empty()) {
    for (const auto& [key, value] : table.rows.front().settings) columns.push_back({key, Align::left});
  }
  columns.push_back({"model", Align::left});
  columns.push_back({"measured", Align::left});
  columns.push_back({has_seeds ? "mean" : "value"});
  if (has_seeds) columns.insert(columns.end(), {{"stddev"}, {"each", Align::left}});
  core::Table result(std::move(columns));
  for (const SeedStatistics& entry : statistics) {
    std::vector<std::string> cells;
    for (const auto& [key, value] : entry.settings) cells.push_back(value);
    cells.insert(cells.end(), {entry.model, entry.metric, core::format_percent(entry.mean)});
    if (has_seeds) {
      std::vector<std::string> each;
      for (const double value : entry.values) each.push_back(fmt::format("{:.2f}", 100 * value));
      cells.push_back(entry.values.size() > 1 ? fmt::format("{:.2f}", 100 * entry.stddev) : "-");
      cells.push_back(fmt::format("{}", fmt::join(each, " ")));
    }
    result.add_row(std::move(cells));
  }
  return result;
}

std::string footnote(const TrialTable& table) {
  const bool has_seeds = has_several_seeds(seed_statistics(table));
  return fmt::format("{} runs.{}", table.rows.size(),
                     has_seeds ? " Mean and standard deviation (n - 1) over the seeds, in percent." : "");
}

Json settings_json(const std::vector<std::pair<std::string, std::string>>& settings) {
  Json json = Json::object();
  for (const auto& [key, value] : settings) json[key] = value;
  return json;
}

}  // namespace

std::vector<SeedStatistics> seed_statistics(const TrialTable& table) {
  std::vector<SeedStatistics> all;
  for (const TrialRow& row : table.rows) {
    for (const TrialScore& score : row.scores) entry_for(all, row, score).values.push_back(score.value);
  }
  for (SeedStatistics& entry : all) summarize(entry);
  return all;
}

std::string to_text(const TrialTable& table, std::size_t width) {
  return make_table(table).text(width) + footnote(table) + "\n";
}

std::string to_markdown(const TrialTable& table) {
  return make_table(table).markdown() + "\n" + footnote(table) + "\n";
}

Json to_json(const TrialTable& table) {
  Json::Array runs, statistics;
  for (const TrialRow& row : table.rows) {
    Json::Array scores;
    for (const TrialScore& score : row.scores)
      scores.push_back(Json::object({{"model", score.model}, {"metric", score.metric}, {"value", score.value}}));
    runs.push_back(Json::object({{"name", row.name},
                                 {"settings", settings_json(row.settings)},
                                 {"seed", row.seed},
                                 {"scores", std::move(scores)}}));
  }
  for (const SeedStatistics& entry : seed_statistics(table)) {
    statistics.push_back(Json::object({{"settings", settings_json(entry.settings)},
                                       {"model", entry.model},
                                       {"metric", entry.metric},
                                       {"values", Json::array(entry.values)},
                                       {"mean", entry.mean},
                                       {"stddev", entry.stddev}}));
  }
  return Json::object({{"runs", std::move(runs)}, {"statistics", std::move(statistics)}});
}

}  // namespace limbeck::report
