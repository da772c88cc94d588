// Capture: from a file of torch.export (`.pt2`) to a Graph, without Python. The file holds one export, or an eval and a
// train export of one model; the graph runs in both modes.
//
// A single export can't tell what Python decided by mode. What is uncertain stands in Graph::assumptions, and running
// that mode is an error until the user accepts it; a pair of exports leaves nothing uncertain.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "limbeck/graph/graph.h"

namespace limbeck::capture {

/// Metadata keys of a captured graph.
inline constexpr const char* kNameKey = "name";      // the class of the model ("torchvision.models.resnet.ResNet")
inline constexpr const char* kSourceKey = "source";  // "torch.export 2.13.0, train and eval"
inline constexpr const char* kNotesKey = "capture.notes";  // one line each: what was decided and what was lost

struct CaptureOptions {
  std::string model{};                // which of an archive's exports; empty: the only one, or its eval and train pair
  std::optional<graph::Mode> mode{};  // of a single export; nullopt: the majority of its mode arguments, else eval
  bool free_batch = true;             // replace a baked-in batch size by a symbol where that proves right
};

/// Captures a `.pt2` file. Throws IoError for a file that is no `.pt2` or damaged (for a pickled module or a bare state
/// dict the message is python_snippet()), Unsupported naming op and scope for what no graph can express.
graph::Graph capture(const std::string& path, const CaptureOptions& options = {});

/// Captures two files, each with one export, as a pair. Throws InvalidArgument when they are not exports of one model.
graph::Graph capture_pair(const std::string& eval_path, const std::string& train_path,
                          const CaptureOptions& options = {});

/// The Python text that exports a good pair with a free batch size: what `limbeck capture --python` prints.
std::string_view python_snippet();

}  // namespace limbeck::capture
