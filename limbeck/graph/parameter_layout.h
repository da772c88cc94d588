// Internal to limbeck/graph: how parameters share memory. The text form and the `.lmb` file both keep it.
//   tied       the same tensor under another name, or an equal view of the same memory
//   in a block different views that overlap; the block is the memory that they cover together
//   alone      everything else
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck::graph {

struct ParameterPlace {
  std::optional<std::size_t> tied_to;  // index into Graph::parameters(); always an earlier one
  std::optional<std::size_t> block;    // index into ParameterLayout::blocks
  int64_t offset_bytes = 0;            // in the block
};

struct ParameterLayout {
  std::vector<ParameterPlace> places;  // one per entry of Graph::parameters()
  struct Block {
    const void* begin = nullptr;
    int64_t num_bytes = 0;
  };
  std::vector<Block> blocks;
};

ParameterLayout layout_of_parameters(const Graph& graph);

/// Row-major strides. Saturates instead of overflowing: extent_bytes then refuses them.
std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& sizes);

/// Bytes from a strided tensor's first element to its end; 0 when it is empty. Nothing when they overflow or a stride
/// or size is negative.
std::optional<int64_t> extent_bytes(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                                    int64_t element_bytes);

}  // namespace limbeck::graph
