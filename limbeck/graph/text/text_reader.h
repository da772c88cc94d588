// Internal to limbeck/graph: parse() with a say in where tensors come from. The `.lmb` reader hands in the file's.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "limbeck/graph/graph.h"

namespace limbeck::graph {

/// A `param` or `buffer` line that is not tied to another.
struct ParameterLine {
  std::string name;
  TensorType type;  // constant sizes; strides where they are not those of a contiguous tensor
  std::optional<std::size_t> block;
  int64_t offset_bytes = 0;
};

struct TextSources {
  /// Memory of a block of overlapping parameters: a 1-D tensor of `num_bytes` uint8.
  std::function<at::Tensor(std::size_t index, int64_t num_bytes)> block;
  /// The tensor of a parameter outside of blocks, of the line's sizes, strides and dtype.
  std::function<at::Tensor(const ParameterLine& line)> tensor;
  /// Whether nodes without types get them by infer_types, which may run kernels. Never for files.
  bool infers_types = false;
};

Graph parse_text(std::string_view text, const TextSources& sources);

}  // namespace limbeck::graph
