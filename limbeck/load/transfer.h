// Transfer learning: a trained network's weights, and another classifier on top.
#pragma once

#include <string>

#include "limbeck/model/head.h"
#include "limbeck/model/model.h"

namespace limbeck {

/// What became of the classifier's weights in the file.
enum class HeadWeights : uint8_t {
  replaced,  // they fitted the old classifier, which a new one took the place of
  kept,      // they fit the new classifier: it has them
  left_out,  // they fit neither, or the file has none: the new classifier is fresh
};

/// Loads the weights in `path` into `model` and replaces its classifier at `scope` by one of `head.classes` outputs.
/// All other weights are loaded strictly. A file whose classifier has the old one's shapes is loaded before the
/// classifier is replaced; else the classifier is replaced first, and has the file's weights where they fit. Throws
/// what load_weights and Model::replace_head throw; then `model` is unchanged.
HeadWeights load_weights_and_replace_head(Model& model, const std::string& path, const std::string& scope,
                                          const HeadOptions& head);

}  // namespace limbeck
