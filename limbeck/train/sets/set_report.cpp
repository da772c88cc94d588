#include "limbeck/train/sets/set_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "limbeck/core/format.h"
#include "limbeck/core/table.h"

namespace limbeck::train {

namespace {

using core::Json;

constexpr std::size_t kWidth = 80;
constexpr std::size_t kNamesShown = 5;

/// `text` as a paragraph under `label`, wrapped to the width of the report.
void add_line(std::string& out, std::string_view label, std::string_view text) {
  const std::string head = label.empty() ? "  " : fmt::format("  {}: ", label);
  const std::vector<std::string> lines = core::wrap(head.substr(2) + std::string(text), kWidth - 4);
  for (std::size_t i = 0; i < lines.size(); ++i) out += (i == 0 ? "  " : "    ") + lines[i] + "\n";
}

void add_lines(std::string& out, std::string_view label, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) add_line(out, label, text);
}

/// The first few; JSON has them all.
void add_some_lines(std::string& out, std::string_view label, const std::vector<std::string>& texts) {
  const std::size_t shown = std::min(texts.size(), kNamesShown);
  for (std::size_t i = 0; i < shown; ++i) add_line(out, label, texts[i]);
  if (shown < texts.size()) add_line(out, label, fmt::format("and {} more", texts.size() - shown));
}

std::string some_of(const std::vector<std::string>& names) {
  const std::size_t shown = std::min(names.size(), kNamesShown);
  std::string text =
      fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (shown < names.size()) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

std::string count_of(std::size_t parameters) {
  return fmt::format("{} parameter{}", parameters, parameters == 1 ? "" : "s");
}

std::string text_of(const ModelReport& model) {
  std::string out = fmt::format("{} ({}), role {}\n", model.name, model.type, model.role.to_string());
  if (!model.role_reason.empty()) add_line(out, "role", model.role_reason);
  add_line(out, "parameters",
           fmt::format("{}, of them {} trained, {} frozen", model.parameters, model.trained, model.frozen));
  if (!model.unowned.empty()) {
    add_line(out, "left",
             fmt::format("{} that no optimizer owns: {}", count_of(model.unowned.size()), some_of(model.unowned)));
  }
  if (!model.shared.empty()) {
    add_line(out, "shared", fmt::format("{}: {}", count_of(model.shared.size()), some_of(model.shared)));
  }
  add_lines(out, "cast", model.notes.cast);
  add_lines(out, "fused", model.notes.fused);
  add_some_lines(out, "left", model.notes.left);
  return out;
}

std::string text_of(const OptimizerReport& optimizer) {
  std::string out = fmt::format("{}\n", optimizer.type);
  add_line(out, "owns",
           fmt::format("{} parameters in {} group{} of {}", optimizer.parameters, optimizer.groups,
                       optimizer.groups == 1 ? "" : "s", fmt::join(optimizer.models, ", ")));
  add_line(out, optimizer.is_fused ? "fused" : "left", optimizer.reason);
  if (optimizer.frozen > 0) {
    add_line(out, "left", fmt::format("{} parameters with requires_grad off", optimizer.frozen));
  }
  if (optimizer.of_frozen_models > 0) {
    add_line(out, "left", fmt::format("{} parameters of models that no role trains", optimizer.of_frozen_models));
  }
  if (optimizer.state_bytes > 0) {
    add_line(out, "state", core::format_bytes(static_cast<uint64_t>(optimizer.state_bytes)));
  }
  return out;
}

Json json_of(const ModelReport& model) {
  return Json::object({{"name", model.name},
                       {"type", model.type},
                       {"role", model.role.to_string()},
                       {"role_reason", model.role_reason},
                       {"parameters", model.parameters},
                       {"trained", model.trained},
                       {"frozen", model.frozen},
                       {"unowned", Json::array(model.unowned)},
                       {"shared", Json::array(model.shared)},
                       {"cast", Json::array(model.notes.cast)},
                       {"fused", Json::array(model.notes.fused)},
                       {"left", Json::array(model.notes.left)}});
}

Json json_of(const OptimizerReport& optimizer) {
  return Json::object({{"type", optimizer.type},
                       {"groups", optimizer.groups},
                       {"parameters", optimizer.parameters},
                       {"frozen", optimizer.frozen},
                       {"of_frozen_models", optimizer.of_frozen_models},
                       {"models", Json::array(optimizer.models)},
                       {"is_fused", optimizer.is_fused},
                       {"reason", optimizer.reason},
                       {"state_bytes", optimizer.state_bytes},
                       {"is_idle", optimizer.is_idle}});
}

}  // namespace

std::string SetReport::text() const {
  std::string out = fmt::format("precision {}\n", precision_name(precision));
  add_line(out, "", precision_note);
  for (const ModelReport& model : models) out += text_of(model);
  for (const OptimizerReport& optimizer : optimizers) out += text_of(optimizer);
  for (const std::string& warning : warnings) add_line(out, "warning", warning);
  return out;
}

core::Json SetReport::json() const {
  Json::Array model_list, optimizer_list;
  for (const ModelReport& model : models) model_list.push_back(json_of(model));
  for (const OptimizerReport& optimizer : optimizers) optimizer_list.push_back(json_of(optimizer));
  return Json::object({{"precision", precision_name(precision)},
                       {"precision_note", precision_note},
                       {"models", std::move(model_list)},
                       {"optimizers", std::move(optimizer_list)},
                       {"warnings", Json::array(warnings)}});
}

}  // namespace limbeck::train
