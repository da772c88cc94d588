#include "limbeck/report/training.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "limbeck/core/format.h"
#include "limbeck/core/table.h"

namespace limbeck::report {

using core::JsonView;

namespace {

/// A column of the table: what stands under `key` of an epoch, shown by `show`; left out where no epoch has it.
struct Column {
  const char* title;
  const char* key;
  std::string (*show)(double);
};

std::string percent(double value) { return core::format_percent(value); }
std::string decimals(double value) { return fmt::format("{:.4f}", value); }
std::string duration(double value) { return core::format_duration(value); }

constexpr Column kColumns[] = {
    {"loss", "loss", decimals},
    {"train top-1", "train_accuracy", percent},
    {"val top-1", "val_accuracy", percent},
    {"val loss", "val_loss", decimals},
    {"averaged top-1", "averaged_val_accuracy", percent},
    {"averaged loss", "averaged_val_loss", decimals},
    {"time", "seconds", duration},
};

std::vector<Column> columns_of(const JsonView& epochs) {
  std::vector<Column> columns;
  for (const Column& column : kColumns) {
    bool is_there = epochs.size() == 0;
    for (const JsonView& epoch : epochs.elements()) is_there |= epoch.get(column.key).has_value();
    if (is_there) columns.push_back(column);
  }
  return columns;
}

}  // namespace

std::string training_to_markdown(const JsonView& epochs) {
  const std::vector<Column> columns = columns_of(epochs);
  std::vector<core::Table::Column> titles = {{"epoch"}};
  for (const Column& column : columns) titles.push_back({column.title});
  core::Table table(std::move(titles));
  for (const JsonView& epoch : epochs.elements()) {
    std::vector<std::string> cells = {fmt::format("{}", epoch["epoch"].as_int())};
    for (const Column& column : columns) {
      const auto value = epoch.get(column.key);
      cells.push_back(value ? column.show(value->as_extended_double()) : "-");
    }
    table.add_row(std::move(cells));
  }
  return table.markdown();
}

}  // namespace limbeck::report
