// Lowering: the nodes of an exported program to the nodes of a Graph, still with the writes that Python made (`relu_`,
// `copy_`). Sizes become integer expressions, so that what computes them vanishes; context managers become regions;
// asserts and guards become checks.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "limbeck/graph/capture/pt2/archive.h"
#include "limbeck/graph/capture/pt2/program.h"
#include "limbeck/graph/graph.h"

namespace limbeck::capture {

/// One export as a graph. Outputs, tree and state writes stand for the export's own mode, whichever that is: they are
/// in eval_outputs, and state writes have `when` both.
struct Export {
  graph::Graph graph;
  std::vector<std::string> traces;  // Python's stack by NodeId, where the file has it
  graph::Bindings hints;            // the sizes that the model was exported with, by symbol
  std::vector<std::string> notes;
  std::vector<std::string> modules;    // paths of all modules, also of those that left no node
  bool is_decomposed = false;          // after run_decompositions()
  std::set<std::string> lost_dropout;  // scopes of dropout modules that the decomposition removed
  std::set<std::string> lifted;        // tensor constants of the name table: in no state_dict, never written

  const std::string& trace(graph::NodeId id) const;
  void set_trace(graph::NodeId id, std::string trace);
};

/// Name of the symbol for the batch in captured graphs.
inline constexpr const char* kBatchSymbol = "B";

/// Throws Unsupported naming op and scope for what a graph can't express (cond, while_loop, scan, data-dependent sizes,
/// custom objects), IoError for a program that contradicts itself.
Export lower(const ExportProgram& program, const TensorTable& weights, const TensorTable& constants);

}  // namespace limbeck::capture
