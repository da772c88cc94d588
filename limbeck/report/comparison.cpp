#include "limbeck/report/comparison.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "limbeck/core/format.h"
#include "limbeck/core/table.h"

namespace limbeck::report {

using core::Json;
using core::JsonView;

namespace {

std::string interval_text(const measure::Interval& interval) {
  return fmt::format("{:.2f}-{:.2f}", interval.low * 100, interval.high * 100);
}

bool has_latency(const Comparison& comparison) {
  return std::any_of(comparison.rows.begin(), comparison.rows.end(),
                     [](const auto& row) { return row.latency.has_value(); });
}

core::Table make_table(const Comparison& comparison) {
  std::vector<core::Table::Column> columns{
      {"model", core::Table::Align::left}, {"top-1"}, {"95 % interval"}, {"params"}, {"MACs"}, {"file"}};
  if (has_latency(comparison)) columns.insert(columns.end(), {{"p50"}, {"p99"}});
  core::Table table(std::move(columns));
  for (const ComparisonRow& row : comparison.rows) {
    std::vector<std::string> cells{row.name,
                                   core::format_percent(row.accuracy.top1),
                                   interval_text(row.accuracy.top1_interval),
                                   core::format_thousands(row.parameters),
                                   core::format_si(static_cast<double>(row.macs)),
                                   core::format_bytes(static_cast<std::uint64_t>(row.file_bytes))};
    if (has_latency(comparison)) {
      cells.push_back(row.latency ? core::format_duration(row.latency->p50_ms / 1e3) : "-");
      cells.push_back(row.latency ? core::format_duration(row.latency->p99_ms / 1e3) : "-");
    }
    table.add_row(std::move(cells));
  }
  return table;
}

std::string footnote(const Comparison& comparison) {
  const int64_t samples = comparison.rows.empty() ? 0 : comparison.rows.front().accuracy.num_samples;
  std::string text =
      fmt::format("top-1 on {} samples of {}, Wilson interval.", core::format_thousands(samples), comparison.dataset);
  for (const ComparisonRow& row : comparison.rows) {
    const int64_t count = row.accuracy.num_not_a_number;
    if (count > 0)
      text += fmt::format(" {}: {} {} not a number, counted as wrong.", row.name, core::format_thousands(count),
                          count == 1 ? "output" : "outputs");
    for (const std::string& note : row.notes) text += fmt::format(" {}: {}.", row.name, note);
  }
  if (has_latency(comparison)) {
    text += fmt::format(" Latency of a batch of {}, {} calls each in turns.", comparison.latency_batch,
                        comparison.rows.front().latency->num_calls);
  }
  return text;
}

measure::Interval interval_from(const JsonView& json) { return {json[0].as_double(), json[1].as_double()}; }

Json interval_json(const measure::Interval& interval) { return Json(Json::Array{interval.low, interval.high}); }

measure::AccuracyResult accuracy_from(const JsonView& json) {
  measure::AccuracyResult result;
  result.num_samples = json["num_samples"].as_int();
  result.num_top1 = json["num_top1"].as_int();
  result.num_top5 = json["num_top5"].as_int();
  result.num_not_a_number = json["num_not_a_number"].as_int();
  result.top1 = json["top1"].as_double();
  result.top5 = json["top5"].as_double();
  result.top1_interval = interval_from(json["top1_interval"]);
  result.top5_interval = interval_from(json["top5_interval"]);
  result.nll = json["nll"].as_extended_double();
  result.ece = json["ece"].as_extended_double();
  for (const JsonView& share : json["per_class"].elements()) result.per_class.push_back(share.as_extended_double());
  result.confusion.num_classes = static_cast<int64_t>(result.per_class.size());
  result.confusion.counts = json["confusion"].as_ints();
  return result;
}

measure::LatencyResult latency_from(const JsonView& json) {
  measure::LatencyResult result;
  result.name = json["name"].as_string();
  result.num_calls = json["num_calls"].as_int();
  for (const auto& [key, value] : {std::pair{"min_ms", &result.min_ms},
                                   {"p50_ms", &result.p50_ms},
                                   {"p90_ms", &result.p90_ms},
                                   {"p99_ms", &result.p99_ms},
                                   {"max_ms", &result.max_ms},
                                   {"mean_ms", &result.mean_ms},
                                   {"items_per_s", &result.items_per_s}}) {
    *value = json[key].as_double();
  }
  return result;
}

}  // namespace

std::string to_text(const Comparison& comparison, std::size_t width) {
  return fmt::format("{}{}\n{}\n", make_table(comparison).text(width),
                     fmt::join(core::wrap(footnote(comparison), width), "\n"), comparison.environment);
}

std::string to_markdown(const Comparison& comparison) {
  return make_table(comparison).markdown() + "\n" + footnote(comparison) + " " + comparison.machine + ", " +
         comparison.environment + ".\n";
}

Json to_json(const measure::AccuracyResult& accuracy) {
  Json::Array per_class;
  for (const double share : accuracy.per_class) per_class.push_back(Json::number(share));
  return Json::object({{"num_samples", accuracy.num_samples},
                       {"num_top1", accuracy.num_top1},
                       {"num_top5", accuracy.num_top5},
                       {"num_not_a_number", accuracy.num_not_a_number},
                       {"top1", accuracy.top1},
                       {"top5", accuracy.top5},
                       {"top1_interval", interval_json(accuracy.top1_interval)},
                       {"top5_interval", interval_json(accuracy.top5_interval)},
                       {"nll", Json::number(accuracy.nll)},
                       {"ece", Json::number(accuracy.ece)},
                       {"per_class", std::move(per_class)},
                       {"confusion", Json::array(accuracy.confusion.counts)}});
}

Json to_json(const measure::LatencyResult& latency) {
  return Json::object({{"name", latency.name},
                       {"num_calls", latency.num_calls},
                       {"min_ms", latency.min_ms},
                       {"p50_ms", latency.p50_ms},
                       {"p90_ms", latency.p90_ms},
                       {"p99_ms", latency.p99_ms},
                       {"max_ms", latency.max_ms},
                       {"mean_ms", latency.mean_ms},
                       {"items_per_s", latency.items_per_s}});
}

Json to_json(const Comparison& comparison) {
  Json::Array rows;
  for (const ComparisonRow& row : comparison.rows) {
    rows.push_back(Json::object({{"name", row.name},
                                 {"parameters", row.parameters},
                                 {"macs", row.macs},
                                 {"file_bytes", row.file_bytes},
                                 {"accuracy", to_json(row.accuracy)},
                                 {"latency", row.latency ? to_json(*row.latency) : Json(nullptr)},
                                 {"notes", Json::array(row.notes)}}));
  }
  return Json::object({{"dataset", comparison.dataset},
                       {"latency_batch", comparison.latency_batch},
                       {"threads", comparison.threads},
                       {"environment", comparison.environment},
                       {"machine", comparison.machine},
                       {"models", std::move(rows)}});
}

Comparison comparison_from_json(const JsonView& json) {
  Comparison comparison{.dataset = json["dataset"].as_string(),
                        .latency_batch = json["latency_batch"].as_int(),
                        .threads = static_cast<int>(json["threads"].as_int(1, 1 << 20)),
                        .environment = json["environment"].as_string(),
                        .machine = json["machine"].as_string(),
                        .rows = {}};
  for (const JsonView& row : json["models"].elements()) {
    const auto latency = row.get("latency");
    const auto notes = row.get("notes");  // which results of older versions lack
    comparison.rows.push_back({.name = row["name"].as_string(),
                               .accuracy = accuracy_from(row["accuracy"]),
                               .parameters = row["parameters"].as_int(),
                               .macs = row["macs"].as_int(),
                               .file_bytes = row["file_bytes"].as_int(),
                               .latency = latency ? std::optional(latency_from(*latency)) : std::nullopt,
                               .notes = notes ? notes->as_strings() : std::vector<std::string>()});
  }
  return comparison;
}

}  // namespace limbeck::report
