// How a training run went, epoch by epoch, as Markdown.
#pragma once

#include <string>

#include "limbeck/core/json/json.h"

namespace limbeck::report {

/// A table of the epochs in a stage's result: [{"epoch", "loss", "train_accuracy", "seconds", and with a validation
/// "val_accuracy", "val_loss", beside it those of averaged weights}], with the columns that there are. Throws IoError
/// naming what is wrong.
std::string training_to_markdown(const core::JsonView& epochs);

}  // namespace limbeck::report
