// Graph: a PyTorch model as SSA over ATen ops, the one form from capture through training to compilation.
//
// A graph is a value: copying it copies a few vectors and shares both node chunks (copy on write) and tensors.
// Node ids are stable: they survive copies and edits; erased ids stay unused. Execution order is `order()`.
// The graph knows both modes: which outputs, state writes and mode arguments belong to train and which to eval.
// The mode itself belongs to a run, never to the graph.
//
// Not thread-safe for writing; several threads may read one graph.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "limbeck/graph/op.h"
#include "limbeck/graph/value.h"

namespace limbeck::graph {

/// Conditions under which a node runs that Python expressed as a context manager around the code.
struct Region {
  std::optional<bool> grad_enabled;  // torch.no_grad() / set_grad_enabled inside forward
  struct Autocast {
    c10::DeviceType device_type = c10::DeviceType::CPU;
    bool enabled = false;
    at::ScalarType dtype = at::kBFloat16;
    bool cache_enabled = true;
    friend bool operator==(const Autocast&, const Autocast&) = default;
  };
  std::optional<Autocast> autocast;  // torch.autocast(...) inside forward
  friend bool operator==(const Region&, const Region&) = default;
};
using RegionId = uint32_t;  // 0: no condition
using CallsId = uint32_t;   // index into the graph's table of outer calls; 0: every ancestor is in its first call

struct Node {
  const OpInfo* op = nullptr;
  std::vector<Argument> arguments{};  // one per schema slot, defaults filled in
  std::vector<Type> types{};          // one per output; an op that returns one list (split) has an output per element
  std::vector<std::string> names{};   // one per output: unique in the graph, readable in its text form
  ScopeId scope = 0;                  // the module that made it: "layer1.0.relu"
  uint32_t call = 0;                  // of that module: 1 for its second use, and so on
  CallsId outer_calls = 0;            // calls of the scopes around it, which matter where an outer module is used twice
  RegionId region = 0;
  uint64_t pinned_flags = 0;  // bit i: mode argument i of the op must not follow train() and eval()
  bool was_in_place = false;  // the op that Python ran wrote its first argument: the interpreter may do so again
};

struct Scope {
  std::string path;  // "layer1.0.relu"; "" for the root
  std::string type;  // "torch.nn.modules.activation.ReLU"; may be empty
  friend bool operator==(const Scope&, const Scope&) = default;
};

/// The values that left a scope, in order of making: what `scope[@call][#i]` names. Kept through rewrites.
struct ScopeOutputs {
  ScopeId scope = 0;
  uint32_t call = 0;
  std::vector<ValueId> values;
};

/// One entry of the name table. Names for one tensor (tied weights) hold the same TensorImpl; names for different views
/// of one storage hold tensors that share it.
struct Parameter {
  std::string name;  // "layer1.0.conv1.weight"
  at::Tensor tensor;
  bool is_buffer = false;
  bool is_persistent = true;  // a buffer that state_dict leaves out is not persistent
};

struct InputSpec {
  std::string name;
  Type type;  // tensors with symbolic sizes where the export was dynamic
};

/// The nesting of inputs and outputs: leaves take the flat list in order.
struct TreeSpec {
  std::string kind = "leaf";      // "leaf", "tuple", "list", "dict", "namedtuple", "dataclass"
  std::string type;               // class of a namedtuple or dataclass
  std::vector<std::string> keys;  // names of the children of dict, namedtuple and dataclass
  std::vector<TreeSpec> children;
  friend bool operator==(const TreeSpec&, const TreeSpec&) = default;
};

struct Output {
  Argument value;    // a value, or a constant (None, int) that the model returns
  std::string name;  // "logits", "out.aux", "0"
};

/// At the end of a run in mode `when` (as the writing scope follows it), `buffer` takes the value.
struct StateWrite {
  std::string buffer;
  ValueId value;
  Mode when = Mode::both;
  ScopeId scope = 0;
};

/// Values that a symbol may take.
struct Range {
  std::string symbol;
  int64_t min = 1;
  int64_t max = INT64_MAX;
};

/// Equality (or order) that must hold for a run's sizes, checked when inputs are bound.
struct Check {
  enum class Relation : uint8_t { equal, less_equal, less, not_equal };
  IntExpr left, right;
  Relation relation = Relation::equal;
  std::string message;  // for people: what was assumed, where
};

/// Something that the source could not tell about a mode. Running that mode is an error until the user accepts it.
struct Assumption {
  Mode when = Mode::train;  // the mode that is uncertain
  ScopeId scope = 0;
  std::string text;
};

struct ScopePath {  // parsed form of scope[@call][#i]
  std::string scope;
  std::optional<uint32_t> call;
  std::optional<uint32_t> index;
};
/// Throws InvalidArgument when `text` is not of the form scope[@call][#i].
ScopePath parse_scope_path(std::string_view text);

/// Copy-on-write storage for nodes in chunks: a copy costs one pointer per chunk.
class NodeStore {
 public:
  uint32_t size() const { return size_; }
  const Node& operator[](NodeId id) const { return (*chunks_[id / kChunk])[id % kChunk]; }
  Node& edit(NodeId id);
  NodeId push_back(Node node);

 private:
  static constexpr uint32_t kChunk = 64;
  using Chunk = std::vector<Node>;
  std::vector<std::shared_ptr<Chunk>> chunks_;
  uint32_t size_ = 0;
};

/// The type that a value has which reads `tensor`.
Type type_of_tensor(const at::Tensor& tensor);

/// Metadata of a graph whose batch size is baked in: why it could not be freed.
inline constexpr const char* kFixedBatchKey = "capture.fixed_batch";
/// Metadata of a classifier: the JSON array of its classes' names, in the order of its logits.
inline constexpr const char* kLabelsKey = "labels";

class Graph {
 public:
  // --- nodes -------------------------------------------------------------------------------------------------
  const Node& node(NodeId id) const { return nodes_[id]; }
  Node& edit(NodeId id) { return nodes_.edit(id); }
  /// All live nodes in execution order: structural ones (`limbeck::input`, `limbeck::parameter`) first.
  const std::vector<NodeId>& order() const { return order_; }
  /// Number of ids ever given: node ids are below it.
  uint32_t num_ids() const { return nodes_.size(); }
  /// Appends a node; missing output names are made up from the op's name and kept unique.
  NodeId append(Node node);
  /// Inserts before the live node `position`.
  NodeId insert_before(NodeId position, Node node);
  NodeId insert_after(NodeId position, Node node);
  /// Moves a node's place in the execution order; the caller keeps definitions before uses.
  void reorder(std::vector<NodeId> order);
  /// Removes a node. Throws InternalError when one of its values is still used, is an output or is written to state.
  void erase(NodeId id);
  bool is_live(NodeId id) const;

  // --- values ------------------------------------------------------------------------------------------------
  const Type& type(ValueId value) const { return nodes_[value.node].types[value.output]; }
  const std::string& name(ValueId value) const { return nodes_[value.node].names[value.output]; }
  /// Gives a value another name, made unique by a number if it is taken.
  void rename(ValueId value, std::string_view name);
  /// The value called `name` in the text form, or nullopt.
  std::optional<ValueId> find_value(std::string_view name) const;
  /// Replaces every use (arguments, outputs, state writes, scope outputs). Uses inside `to.node` itself stay.
  void replace_all_uses(ValueId from, ValueId to);
  /// Live nodes that take `value`, each once, in order. Linear in the graph; use UseMap for many questions.
  std::vector<NodeId> users(ValueId value) const;
  /// True when `value` is an output, is written to state, or is named by a scope.
  bool is_exported(ValueId value) const;

  // --- interface ---------------------------------------------------------------------------------------------
  std::vector<InputSpec> inputs;  // in order of the flattened call; each has a `limbeck::input` node once used
  TreeSpec input_tree;            // of the positional arguments, then keyword arguments
  std::vector<Output> train_outputs, eval_outputs;
  TreeSpec train_tree, eval_tree;  // of train_outputs and eval_outputs
  std::vector<StateWrite> state_writes;
  std::vector<Range> ranges;
  std::vector<Check> checks;
  std::vector<Assumption> assumptions;
  std::vector<ScopeOutputs> scope_outputs;
  std::map<std::string, std::string> metadata;  // "name", "source", "preprocessing", "labels": travels in the .lmb

  const std::vector<Output>& outputs(Mode mode) const { return mode == Mode::train ? train_outputs : eval_outputs; }
  const TreeSpec& output_tree(Mode mode) const { return mode == Mode::train ? train_tree : eval_tree; }

  /// The value of input `index`: its `limbeck::input` node, made on first use.
  ValueId input_value(std::size_t index);
  std::optional<ValueId> find_input_value(std::size_t index) const;

  // --- parameters and buffers ----------------------------------------------------------------------------------
  const std::vector<Parameter>& parameters() const { return parameters_; }
  /// Throws InvalidArgument for an existing name.
  void add_parameter(Parameter parameter);
  const Parameter* find_parameter(std::string_view name) const;
  /// Throws InvalidArgument naming the nearest names.
  const Parameter& parameter(std::string_view name) const;
  /// Puts another tensor under an existing name; tied names are not followed.
  void set_parameter_tensor(std::string_view name, at::Tensor tensor);
  void erase_parameter(std::string_view name);
  /// The value that reads parameter `name`: its `limbeck::parameter` node, made on first use.
  ValueId parameter_value(std::string_view name);
  /// The parameter that a `limbeck::parameter` value reads, else null.
  const Parameter* as_parameter(ValueId value) const;

  // --- scopes and regions ----------------------------------------------------------------------------------------
  const std::vector<Scope>& scopes() const { return scopes_; }
  const Scope& scope(ScopeId id) const { return scopes_[id]; }
  /// Id of `path`, added (with its parents) when new. A non-empty `type` is kept.
  ScopeId add_scope(std::string_view path, std::string_view type = {});
  std::optional<ScopeId> find_scope(std::string_view path) const;
  /// The value that `scope[@call][#i]` names. Throws InvalidArgument naming the nearest scopes that left a node.
  ValueId resolve(std::string_view scope_path) const;
  /// Interns the call numbers of a scope's ancestors: one per component of its path but the last, outermost first. A
  /// component that is no called module (a ModuleList) has 0.
  CallsId add_outer_calls(std::vector<uint32_t> calls);
  const std::vector<uint32_t>& outer_calls(CallsId id) const { return outer_calls_[id]; }
  bool has_outer_calls(CallsId id) const { return id < outer_calls_.size(); }
  /// Call number of the module that is component `depth` of the node's scope path; 0 is the outermost.
  uint32_t call_at(const Node& node, std::size_t depth) const;
  const std::vector<Region>& regions() const { return regions_; }
  RegionId add_region(const Region& region);

  /// Deep copy: own tensors, tied ones stay tied and views of one storage stay views of one storage.
  Graph clone() const;

 private:
  bool is_interface(ValueId value) const;  // an output or written to state
  std::string unused_name(const std::string& base);

  NodeStore nodes_;
  std::vector<NodeId> order_;
  std::size_t num_structural_ = 0;  // inputs and parameters stand at the front of order_
  std::vector<Parameter> parameters_;
  std::vector<Scope> scopes_{Scope{}};
  std::vector<Region> regions_{Region{}};
  std::vector<std::vector<uint32_t>> outer_calls_{{}};
  std::map<std::string, NodeId, std::less<>> structural_;  // "i0", "pconv1.weight" -> node
  std::map<std::string, ValueId, std::less<>> value_names_;
  std::map<std::string, uint32_t, std::less<>> next_suffix_;  // of made-up names
  std::map<std::string, std::size_t, std::less<>> parameter_index_;
  std::map<std::string, ScopeId, std::less<>> scope_index_{{"", 0}};
};

/// Users of every value, computed once; stale after an edit.
class UseMap {
 public:
  explicit UseMap(const Graph& graph);
  const std::vector<NodeId>& users(ValueId value) const;
  /// Number of uses by nodes, outputs, state writes together.
  std::size_t num_uses(ValueId value) const;

 private:
  std::map<ValueId, std::vector<NodeId>> users_;
  std::map<ValueId, std::size_t> extra_uses_;
};

/// Removes nodes whose outputs nothing needs in either mode and which have no side effect. Parameters stay in the
/// table. Returns whether anything went.
bool eliminate_dead_nodes(Graph& graph);

/// Nodes that a run in `mode` needs, in order: those that its outputs, its state writes, `taps` and side effects reach.
/// A `limbeck::by_mode` node reaches only the argument of the mode that `mode_of(scope)` gives.
std::vector<NodeId> needed_nodes(const Graph& graph, Mode mode, const std::function<Mode(ScopeId)>& mode_of,
                                 const std::vector<ValueId>& taps = {});

/// Recomputes `graph.scope_outputs`: for each (scope, call) the values made inside it and used outside it, in order.
void number_scope_outputs(Graph& graph);

}  // namespace limbeck::graph
