#include "limbeck/graph/verify.h"

#include <ATen/core/function_schema.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/graph/slot_kind.h"

namespace limbeck::graph {

namespace {

constexpr std::size_t kMaxFaults = 64;  // a broken graph repeats itself

/// Collects the findings on one graph.
class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph) {}

  std::vector<std::string> run() {
    check_names();
    collect_symbols();
    for (const NodeId id : graph_.order()) check_node(id);
    for (const Mode mode : {Mode::train, Mode::eval}) check_outputs(mode);
    const bool is_untouched = graph_.inputs.empty() && graph_.input_tree == TreeSpec{};
    if (!is_untouched && num_leaves(graph_.input_tree) != graph_.inputs.size()) {
      add("the input tree has {} leaves for {} inputs", num_leaves(graph_.input_tree), graph_.inputs.size());
    }
    for (const StateWrite& write : graph_.state_writes) check_state_write(write);
    for (const ScopeOutputs& outputs : graph_.scope_outputs) check_scope_outputs(outputs);
    check_conditions();
    return std::move(faults_);
  }

 private:
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    if (faults_.size() < kMaxFaults) faults_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  /// Adds a finding on a node: "%relu (aten::relu in 'layer1'): ...".
  template <class... Args>
  void add_for(NodeId id, fmt::format_string<Args...> format, Args&&... args) {
    const Node& node = graph_.node(id);
    const std::string scope = node.scope < graph_.scopes().size() ? graph_.scope(node.scope).path : "?";
    add("%{} ({} in '{}'): {}", node.names.empty() ? "?" : node.names[0], node.op == nullptr ? "no op" : node.op->name,
        scope, fmt::format(format, std::forward<Args>(args)...));
  }

  static std::size_t num_leaves(const TreeSpec& tree) {
    if (tree.kind == "leaf") return 1;
    std::size_t count = 0;
    for (const TreeSpec& child : tree.children) count += num_leaves(child);
    return count;
  }

  void check_names() {
    std::set<std::string> inputs;
    for (const InputSpec& input : graph_.inputs) {
      if (!inputs.insert(input.name).second) add("two inputs are called '{}'", input.name);
    }
    std::set<std::string> names;
    for (const NodeId id : graph_.order()) {
      for (const std::string& name : graph_.node(id).names) {
        if (name.empty() || !names.insert(name).second) add_for(id, "the value name '{}' is not unique", name);
      }
    }
    for (const Parameter& parameter : graph_.parameters()) {
      if (!parameter.tensor.defined()) add("parameter '{}' has no tensor", parameter.name);
    }
  }

  /// Symbols that a run can solve: those that stand alone as a size of an input, or as an int input.
  void collect_symbols() {
    for (const InputSpec& input : graph_.inputs) {
      if (const auto* integer = std::get_if<IntType>(&input.type.kind)) bind(integer->expr);
      if (const TensorType* tensor = input.type.tensor(); tensor != nullptr && tensor->sizes) {
        for (const IntExpr& size : *tensor->sizes) bind(size);
      }
    }
  }
  void bind(const IntExpr& size) {
    if (const std::set<std::string> symbols = size.symbols(); symbols.size() == 1) bound_.merge(std::set(symbols));
  }

  void check_symbols(NodeId id, const IntExpr& expr) {
    for (const std::string& symbol : expr.symbols()) {
      if (bound_.count(symbol) == 0) add_for(id, "no input binds the size '{}' of '{}'", symbol, expr.to_string());
    }
  }

  void check_node(NodeId id) {
    const Node& node = graph_.node(id);
    if (node.op == nullptr) return add_for(id, "the node has no op");
    if (node.scope >= graph_.scopes().size()) add_for(id, "scope {} does not exist", node.scope);
    if (node.region >= graph_.regions().size()) add_for(id, "region {} does not exist", node.region);
    if (node.names.size() != node.types.size())
      add_for(id, "{} names for {} outputs", node.names.size(), node.types.size());
    if (!graph_.has_outer_calls(node.outer_calls)) add_for(id, "outer calls {} do not exist", node.outer_calls);
    check_num_outputs(id, node);
    for (const Type& type : node.types) check_type(id, type);
    check_pinned_flags(id, node);
    if (node.arguments.size() != node.op->schema->arguments().size()) {
      add_for(id, "{} arguments for {} slots", node.arguments.size(), node.op->schema->arguments().size());
    } else {
      for (std::size_t slot = 0; slot < node.arguments.size(); ++slot) check_argument(id, node, slot);
      check_structural(id, node);
    }
    defined_.insert(id);
  }

  void check_num_outputs(NodeId id, const Node& node) {
    const std::vector<c10::Argument>& returns = node.op->schema->returns();
    if (returns.size() == 1 && returns[0].type()->kind() == c10::TypeKind::ListType) return;  // one output per element
    if (node.types.size() != returns.size()) {
      add_for(id, "{} output types for {} returns", node.types.size(), returns.size());
    }
  }

  void check_pinned_flags(NodeId id, const Node& node) {
    const std::size_t count = node.op->traits.mode_arguments.size();
    if (count < 64 && node.pinned_flags >> count != 0) add_for(id, "pins mode arguments that {} lacks", node.op->name);
  }

  void check_type(NodeId id, const Type& type) {
    if (const ListType* list = type.list()) {
      for (const Type& element : list->elements) check_type(id, element);
    } else if (const auto* integer = std::get_if<IntType>(&type.kind)) {
      check_symbols(id, integer->expr);
    } else if (const TensorType* tensor = type.tensor()) {
      check_tensor_type(id, *tensor);
    }
  }

  void check_tensor_type(NodeId id, const TensorType& tensor) {
    if (!tensor.sizes) return add_for(id, "the shape of an output is not known");
    if (tensor.strides && tensor.strides->size() != tensor.sizes->size()) add_for(id, "strides do not fit the sizes");
    for (const IntExpr& size : *tensor.sizes) {
      check_symbols(id, size);
      if (const auto constant = size.constant(); constant && *constant < 0) add_for(id, "negative size {}", *constant);
    }
  }

  void check_argument(NodeId id, const Node& node, std::size_t slot) {
    const c10::Argument& formal = node.op->schema->arguments()[slot];
    if (!fits_slot(node.arguments[slot], *formal.real_type(), formal.N().has_value())) {
      add_for(id, "argument '{}' is {}, not {}", formal.name(), argument_kind(node.arguments[slot]),
              formal.real_type()->str());
    }
    for_each_value(node.arguments[slot], [&](ValueId value) { check_use(id, value); });
    Argument copy = node.arguments[slot];
    for_each_integer(copy, [&](const IntExpr& integer) { check_symbols(id, integer); });
  }

  bool exists(ValueId value) const {
    return value.node < graph_.num_ids() && defined_.count(value.node) != 0 &&
           value.output < graph_.node(value.node).types.size();
  }

  void check_use(NodeId id, ValueId value) {
    if (value.node >= graph_.num_ids())
      return add_for(id, "takes a value of node {}, which does not exist", value.node);
    const Node& source = graph_.node(value.node);
    if (value.output >= source.types.size())
      return add_for(id, "takes output {} of %{}", value.output, first_name(source));
    if (defined_.count(value.node) == 0) add_for(id, "takes %{} before it is made", source.names.at(value.output));
  }

  static std::string first_name(const Node& node) { return node.names.empty() ? "?" : node.names[0]; }

  void check_structural(NodeId id, const Node& node) {
    if (node.op->is("limbeck::input")) {
      const auto index = node.arguments[0].as_int();
      if (!index || *index < 0 || static_cast<std::size_t>(*index) >= graph_.inputs.size()) {
        add_for(id, "reads an input that does not exist");
      }
    } else if (node.op->is("limbeck::parameter")) {
      const std::string* name = node.arguments[0].text();
      const Parameter* parameter = name == nullptr ? nullptr : graph_.find_parameter(*name);
      if (parameter == nullptr) return add_for(id, "reads a parameter that does not exist");
      if (parameter->tensor.defined()) check_parameter_type(id, node, parameter->tensor);
    } else if (node.op->is("limbeck::by_mode") && node.arguments[0].is_none() && node.arguments[1].is_none()) {
      add_for(id, "has no value in either mode");
    }
  }

  void check_parameter_type(NodeId id, const Node& node, const at::Tensor& tensor) {
    const TensorType* type = node.types.empty() ? nullptr : node.types[0].tensor();
    const bool fits = type != nullptr && type->dtype == tensor.scalar_type() && type->sizes &&
                      *type->sizes == Sizes(tensor.sizes().begin(), tensor.sizes().end());
    if (!fits) add_for(id, "the type differs from the parameter's tensor");
  }

  void check_outputs(Mode mode) {
    for (const Output& output : graph_.outputs(mode)) {
      for_each_value(output.value, [&](ValueId value) {
        if (!exists(value)) add("{} output '{}' is a value that does not exist", mode_name(mode), output.name);
      });
    }
    const std::size_t leaves = num_leaves(graph_.output_tree(mode)), outputs = graph_.outputs(mode).size();
    if (leaves != outputs && !(outputs == 0 && graph_.output_tree(mode) == TreeSpec{})) {
      add("the tree of the {} outputs has {} leaves for {} outputs", mode_name(mode), leaves, outputs);
    }
    check_tree(graph_.output_tree(mode));
  }

  void check_tree(const TreeSpec& tree) {
    static const std::set<std::string> kKinds{"leaf", "tuple", "list", "dict", "namedtuple", "dataclass"};
    if (kKinds.count(tree.kind) == 0) add("a tree has a node of unknown kind '{}'", tree.kind);
    if (!tree.keys.empty() && tree.keys.size() != tree.children.size()) {
      add("a tree has {} keys for {} children", tree.keys.size(), tree.children.size());
    }
    for (const TreeSpec& child : tree.children) check_tree(child);
  }

  void check_state_write(const StateWrite& write) {
    const Parameter* buffer = graph_.find_parameter(write.buffer);
    if (buffer == nullptr) return add("a state write goes to '{}', which does not exist", write.buffer);
    if (!buffer->is_buffer) add("a state write goes to '{}', which is a parameter", write.buffer);
    if (write.scope >= graph_.scopes().size()) add("the state write to '{}' has no scope", write.buffer);
    if (!exists(write.value)) return add("the state write to '{}' takes a value that does not exist", write.buffer);
    const TensorType* type = graph_.type(write.value).tensor();
    if (type == nullptr || !type->sizes || !buffer->tensor.defined()) {
      return add("the state write to '{}' takes %{}, which is no tensor", write.buffer, graph_.name(write.value));
    }
    const Sizes expected(buffer->tensor.sizes().begin(), buffer->tensor.sizes().end());
    if (*type->sizes != expected)
      add("the state write to '{}' takes %{} of another shape", write.buffer, graph_.name(write.value));
  }

  void check_scope_outputs(const ScopeOutputs& outputs) {
    if (outputs.scope >= graph_.scopes().size()) return add("outputs of scope {}, which does not exist", outputs.scope);
    for (const ValueId value : outputs.values) {
      if (!exists(value)) add("scope '{}' names a value that does not exist", graph_.scope(outputs.scope).path);
    }
  }

  void check_conditions() {
    for (const Range& range : graph_.ranges) {
      if (bound_.count(range.symbol) == 0) add("no input binds the size '{}', which has a range", range.symbol);
      if (range.min > range.max) add("the range of '{}' is empty", range.symbol);
    }
    for (const Check& check : graph_.checks) {
      for (const IntExpr* side : {&check.left, &check.right}) {
        for (const std::string& symbol : side->symbols()) {
          if (bound_.count(symbol) == 0) add("no input binds the size '{}', which is checked", symbol);
        }
      }
    }
    for (const Assumption& assumption : graph_.assumptions) {
      if (assumption.scope >= graph_.scopes().size())
        add("an assumption names scope {}, which does not exist", assumption.scope);
    }
  }

  const Graph& graph_;
  std::set<NodeId> defined_;
  std::set<std::string> bound_;
  std::vector<std::string> faults_;
};

}  // namespace

std::vector<std::string> find_faults(const Graph& graph) { return Verifier(graph).run(); }

void verify(const Graph& graph, const std::string& when) {
  const std::vector<std::string> faults = find_faults(graph);
  if (faults.empty()) return;
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(faults.size(), 5); ++i) text += "\n  " + faults[i];
  if (faults.size() > 5) text += fmt::format("\n  and {} more", faults.size() - 5);
  fail<InternalError>("[graph] unsound {}:{}", when, text);
}

}  // namespace limbeck::graph
