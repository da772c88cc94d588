// The `.lmb` file: one safetensors file with the tensors of a graph and, in its metadata, the graph and what travels
// with it (preprocessing, labels, recipe, metrics, assumptions). No pickle. A reader treats it as hostile.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "limbeck/graph/graph.h"

namespace limbeck::graph {

inline constexpr int kLmbFormatVersion = 1;

/// Writes atomically. Tied tensors are stored once; the aliases stand in the metadata. `extra` adds metadata keys.
void save_lmb(const Graph& graph, const std::filesystem::path& path,
              const std::map<std::string, std::string>& extra = {});

/// Maps the file privately and writable: training the graph never touches it. Throws IoError for a damaged file (naming
/// what is wrong) and Unsupported for a newer format version (naming both).
Graph load_lmb(const std::filesystem::path& path);

/// Whether a safetensors file holds a graph. Throws IoError if it is no sound safetensors file.
bool is_lmb(const std::filesystem::path& path);

}  // namespace limbeck::graph
