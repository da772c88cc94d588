#include "limbeck/train/loop/metrics_log.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"

namespace limbeck::train {

using core::Json;

namespace {

/// Keys of a line that are no measurement.
constexpr std::array<std::string_view, 3> kPlaces = {"kind", "epoch", "step"};

/// Whether the line is whole, and of a step that the run will not make again.
bool is_kept(const std::string& line, int64_t steps_done) {
  try {
    const Json json = core::parse_json(line, "metrics.jsonl");
    const Json* step = json.find("step");
    return step != nullptr && step->is_int() && step->as_int() <= steps_done;
  } catch (const IoError&) {
    return false;  // what a kill left of a line
  }
}

/// Takes out of the file what a resumed run will write again.
void rewind(const std::filesystem::path& path, int64_t steps_done) {
  if (!std::filesystem::exists(path)) return;
  std::ifstream file(path);
  std::string kept;
  for (std::string line; std::getline(file, line);) {
    if (is_kept(line, steps_done)) kept += line + "\n";
  }
  core::write_file(path, kept);
}

}  // namespace

MetricsLog::MetricsLog(const MetricsOptions& options, int64_t steps_done) : options_(options) {
  LIMBECK_CHECK(options_.every_steps >= 0, "[log] every_steps must be at least 0, got {}", options_.every_steps);
  if (options_.folder.empty()) return;
  core::create_directories(options_.folder);
  path_ = options_.folder / "metrics.jsonl";
  rewind(path_, steps_done);
  lines_.open(path_, std::ios::app);
  if (options_.tensorboard) events_.emplace(options_.folder, steps_done + 1);
}

void MetricsLog::add_step(const StepReport& report) {
  if (path_.empty() || options_.every_steps == 0 || report.step % options_.every_steps != 0) return;
  Json line = Json::object({{"kind", "step"},
                            {"epoch", report.epoch + 1},
                            {"step", report.step},
                            {"loss", Json::number(report.loss)},
                            {"lr", report.lr},
                            {"grad_norm", Json::number(report.grad_norm)}});
  if (report.seconds > 0) line["images_per_second"] = static_cast<double>(report.samples) / report.seconds;
  if (report.is_skipped) line["skipped"] = true;
  write_line(line);
  write_scalars(report.step, "train/", line);
}

void MetricsLog::add_epoch(const EpochSummary& summary, int64_t step) {
  if (path_.empty()) return;
  Json line = Json::object({{"kind", "epoch"}});
  const Json values = to_json(summary);
  for (const auto& [key, value] : values.as_object()) line[key] = value;
  line["epoch"] = summary.epoch + 1;
  line["step"] = step;
  write_line(line);
  write_scalars(step, "epoch/", line);
}

void MetricsLog::write_line(const Json& line) {
  lines_ << line.dump() << '\n' << std::flush;
  if (!lines_) fail<IoError>("[log] cannot write {}", path_.string());
}

void MetricsLog::write_scalars(int64_t step, const char* group, const Json& line) {
  if (!events_) return;
  Scalars scalars;
  for (const auto& [key, value] : line.as_object()) {
    const bool is_place = std::find(kPlaces.begin(), kPlaces.end(), key) != kPlaces.end();
    if (!is_place && !value.is_bool()) scalars.emplace_back(group + key, value.as_extended_double());
  }
  events_->add_scalars(step, scalars);
}

}  // namespace limbeck::train
