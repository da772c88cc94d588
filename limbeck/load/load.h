// One way to a Model, whatever it comes from.
#pragma once

#include <cstdint>
#include <string>

#include "limbeck/graph/capture/capture.h"
#include "limbeck/model/model.h"

namespace limbeck {

struct LoadOptions {
  std::string train{};                // of a .pt2: the train export that pairs with it
  capture::CaptureOptions capture{};  // of a .pt2
  uint64_t seed = 0;                  // of a zoo model's initial weights
  std::string weights{};              // .pth, safetensors or .lmb file whose weights the model takes, strictly
};

enum class ModelSource : uint8_t { zoo, lmb, pt2 };

/// What `what` names: a file by its content, else a name of the zoo. "zoo:" in front says so. Throws InvalidArgument
/// for an unknown name or missing file (naming the nearest), IoError for a damaged file, Unsupported, saying what to
/// do, for files that hold no graph (.pth, TorchScript, safetensors).
ModelSource identify_model(const std::string& what);

/// Loads a zoo name with options ("resnet18", "zoo:resnet_basic?widths=8,16,32"), a `.lmb` or a `.pt2` file. The model
/// is in eval mode. Throws what identify_model, zoo::make, graph::load_lmb and capture::capture throw.
Model load(const std::string& what, const LoadOptions& options = {});

/// Copies the weights in the file `path` into `model`, strictly. Throws what weights::load_state_dict and copy_into
/// throw.
void load_weights(Model& model, const std::string& path);

}  // namespace limbeck
