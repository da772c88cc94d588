// Architectures built in C++: names of parameters and buffers, their initial distributions and the order of computation
// are torchvision's where it has the model, so weights load strictly in both directions. Everything else comes by
// capture. One architecture, one file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck::zoo {

/// What an architecture can be told. Unset fields take the architecture's own default; a field that an architecture
/// does not know is an error.
struct ZooOptions {
  std::optional<int64_t> classes{};      // outputs of the classifier
  std::optional<int64_t> in_channels{};  // of the images
  std::optional<int64_t> image_size{};   // pixels of a side; the graph is for this size
  std::optional<int64_t> depth{};        // layers of cifar_resnet (6n+2) and wide_resnet (6n+4)
  std::optional<double> width{};         // factor on the channels of cifar_resnet and wide_resnet
  std::vector<int64_t> blocks{};         // resnet_basic: blocks of each stage
  std::vector<int64_t> widths{};         // resnet_basic: channels of each stage
  std::optional<int64_t> stem_stride{};  // resnet_basic
  std::optional<double> dropout{};       // before the classifier (wide_resnet: inside the blocks)
  std::optional<double> drop_path{};     // efficientnet_b0: stochastic depth of the last block
  uint64_t seed = 0;                     // of the initial weights
};

struct ZooEntry {
  std::string name;     // "resnet18"
  std::string summary;  // one line with its source
  std::vector<std::string> options;
};

/// All architectures.
const std::vector<ZooEntry>& list();

/// Builds the graph with fresh weights; images are [B, in_channels, image_size, image_size], B symbolic; the output is
/// "logits" [B, classes]. Throws InvalidArgument for an unknown name (naming the nearest), an option that the
/// architecture does not know, or a value out of range.
graph::Graph make(std::string_view name, const ZooOptions& options = {});

/// Options from text, as recipes and the command line give them: {"widths": "8,16,32"}. Throws InvalidArgument for an
/// unknown key (naming the nearest) or text that is not of the key's type.
ZooOptions parse_options(const std::map<std::string, std::string>& options, uint64_t seed = 0);

/// Splits "resnet_basic?widths=8,16,32&blocks=1,1,1" into a name and options.
struct ZooName {
  std::string name;
  std::map<std::string, std::string> options;
};
ZooName parse_name(std::string_view text);

}  // namespace limbeck::zoo
