// Program: a graph prepared for runs of one kind (modes, taps, state updates), so that a run's inner loop looks nothing
// up. Steps are the needed nodes in order; constants and parameters are boxed once; values live in a table by index.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "limbeck/graph/graph.h"
#include "limbeck/model/model.h"

namespace c10 {
struct IValue;
}

namespace limbeck {

/// Index into a run's table of values.
using ValueIndex = uint32_t;
inline constexpr ValueIndex kNoValue = UINT32_MAX;

/// What a program was prepared for.
struct ProgramKey {
  std::vector<graph::Mode> modes;  // by scope id
  std::vector<std::string> taps;
  StateUpdates state_updates = StateUpdates::apply;
  Fusion fusion = Fusion::none;
  friend bool operator==(const ProgramKey&, const ProgramKey&) = default;
};

/// A stack slot that takes a value of the run.
struct Fill {
  ValueIndex value = kNoValue;
  uint16_t slot = 0;
  bool is_last_use = false;   // the value moves: it is freed as soon as the op no longer needs it
  bool is_converted = false;  // a number for a Tensor slot
};

/// A stack slot that takes a list of tensors of the run.
struct ListFill {
  struct Element {
    ValueIndex value = kNoValue;  // kNoValue: None
    bool is_last_use = false;
  };
  uint16_t slot = 0;
  bool is_optional = false;  // Tensor?[] instead of Tensor[]
  std::vector<Element> elements;
};

/// A stack slot whose integers depend on the run's sizes: entry `entry` of Sizing::boxed.
struct SizedSlot {
  uint16_t slot = 0;
  uint32_t entry = 0;
};

struct Step {
  const graph::OpInfo* op = nullptr;
  const graph::OpInfo* in_place = nullptr;  // runs instead of `op` where the first argument is ours alone
  bool keeps_dtype = false;                 // Python ran it in place: the result has the first argument's type
  bool unpacks_list = false;                // the op's one output is a list whose elements are the node's outputs
  std::vector<c10::IValue> stack{};         // constants; None where something is filled in
  std::vector<Fill> fills{};
  std::vector<ListFill> lists{};
  std::vector<SizedSlot> sized{};
  std::vector<ValueIndex> outputs{};  // kNoValue: nobody needs it
  std::vector<uint16_t> weights{};    // slots of constants that autocast casts before the op
  graph::NodeId node = 0;             // for messages
};

/// Consecutive steps under the same conditions.
struct Segment {
  graph::RegionId region = 0;
  uint32_t begin = 0, end = 0;  // steps
};

/// An argument that depends on sizes, kept to be boxed for each new set of sizes.
struct SizedArgument {
  const graph::OpInfo* op = nullptr;
  uint16_t slot = 0;
  graph::Argument argument;
};

/// Where an output or a tap comes from: a value of the run, or a constant (None, int, float, bool).
struct Result {
  std::string name;
  ValueIndex value = kNoValue;
  graph::Argument constant{};
};

/// A buffer that kernels write although their schemas don't say so. A run writes into a copy, which takes the buffer's
/// place at the end, or not at all.
struct Shadow {
  ValueIndex value = kNoValue;
  at::Tensor buffer;
};

/// A buffer that a state write replaces at the end of a run. The run reads a copy, so that outputs and what autograd
/// saved keep the value that was there, as after Python's assignment of another tensor.
struct Snapshot {
  ValueIndex value = kNoValue;
  at::Tensor buffer;
};

/// A buffer that takes a value at the end of a run.
struct BufferWrite {
  ValueIndex value = kNoValue;
  at::Tensor buffer;
};

/// What a program needs to know of one set of input sizes.
struct Sizing {
  std::vector<int64_t> input_sizes;  // of all tensor inputs, each preceded by its rank
  graph::Bindings bindings;
  std::vector<c10::IValue> boxed;  // by SizedSlot::entry
};

struct Program {
  graph::Graph graph;  // shares nodes and tensors with the Model's; fused where the key asks for it
  ProgramKey key;
  std::vector<Step> steps;
  std::vector<Segment> segments;
  std::vector<SizedArgument> sized;
  std::vector<Result> outputs, taps;
  std::vector<Shadow> shadows;
  std::vector<Snapshot> snapshots;
  std::vector<BufferWrite> writes;        // empty where state updates are discarded
  std::vector<ValueIndex> input_values;   // by input; kNoValue: no step needs it
  std::vector<ValueIndex> preset_values;  // of parameters that lists, outputs and taps take
  std::vector<c10::IValue> presets;       // beside preset_values
  ValueIndex num_values = 0;
  passes::FusionReport fusion;  // what was fused and left
};

/// Prepares `graph`. Throws InvalidArgument for an unknown tap, Unsupported for what can't be run.
std::shared_ptr<const Program> prepare_program(const graph::Graph& graph, ProgramKey key);

/// Whether a mode argument of `node` follows its scope: not where it is pinned, and not where the statistics that it
/// would switch to do not exist.
bool follows_mode(const graph::Node& node, std::size_t mode_argument);

}  // namespace limbeck
