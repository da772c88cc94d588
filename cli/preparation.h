// How images are prepared for a model, as the command line says it: over what the model itself says.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "limbeck/data/preprocessing.h"
#include "limbeck/graph/graph.h"

namespace limbeck::cli {

/// Whether any flag was given.
bool is_given(const PreparationArguments& arguments);

/// What the model says of its images, where it does. Throws IoError where that is damaged.
std::optional<data::Preprocessing> own_preprocessing(const graph::Graph& graph);

/// The model's own class names; empty where it has none. Throws IoError where they are damaged.
std::vector<std::string> own_labels(const graph::Graph& graph);

/// The model's own preprocessing with what the flags say in its place. A model without one needs a mean and stddev (or
/// a preset); its images are resized to its input's size unless flags say otherwise. `model` is what messages call it.
/// Throws InvalidArgument where that is too little, does not fit together, or makes images that the model does not
/// take.
data::Preprocessing prepare_by(const PreparationArguments& arguments, const graph::Graph& graph,
                               const std::string& model);

/// Class names from a file: a JSON array of texts, or one name a line. Throws IoError if it cannot be read or holds
/// none.
std::vector<std::string> read_labels(const std::string& path);

}  // namespace limbeck::cli
