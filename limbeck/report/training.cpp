#include "limbeck/report/training.h"

#include <fmt/format.h>

#include "limbeck/core/format.h"
#include "limbeck/core/table.h"

namespace limbeck::report {

using core::JsonView;

std::string training_to_markdown(const JsonView& epochs) {
  core::Table table({{"epoch"}, {"loss"}, {"train top-1"}, {"val top-1"}, {"time"}});
  for (const JsonView& epoch : epochs.elements()) {
    const auto val_accuracy = epoch.get("val_accuracy");
    table.add_row({fmt::format("{}", epoch["epoch"].as_int()), fmt::format("{:.4f}", epoch["loss"].as_double()),
                   core::format_percent(epoch["train_accuracy"].as_double()),
                   val_accuracy ? core::format_percent(val_accuracy->as_double()) : "-",
                   core::format_duration(epoch["seconds"].as_double())});
  }
  return table.markdown();
}

}  // namespace limbeck::report
