#include "limbeck/graph/capture/lower.h"

#include <ATen/core/function_schema.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/capture/pt2/guards.h"
#include "limbeck/graph/capture/pt2/pytree.h"
#include "limbeck/graph/capture/pt2/sympy.h"

namespace limbeck::capture {

using graph::Argument;
using graph::Check;
using graph::Graph;
using graph::IntExpr;
using graph::Node;
using graph::TensorType;
using graph::Type;
using graph::ValueId;

namespace {

constexpr std::string_view kTorchOps = "torch.ops.";
constexpr std::string_view kHigherOrder = "torch.ops.higher_order.";

/// "torch.ops.aten.add.Tensor" -> "aten::add.Tensor"; "default" is the overload without a name.
std::string op_name(std::string_view target) {
  std::string_view rest = target.substr(kTorchOps.size());
  const std::size_t dot = rest.find('.');
  if (dot == std::string_view::npos) return std::string(target);
  std::string name = std::string(rest.substr(0, dot)) + "::" + std::string(rest.substr(dot + 1));
  constexpr std::string_view kDefault = ".default";
  if (name.size() > kDefault.size() && name.compare(name.size() - kDefault.size(), kDefault.size(), kDefault) == 0)
    name.resize(name.size() - kDefault.size());
  return name;
}

std::string innermost(const ProgramNode& node) {
  return node.modules.empty() ? std::string() : node.modules.back().path;
}

std::string place_of(const ProgramNode& node) {
  const std::string scope = innermost(node);
  return scope.empty() ? "at the top of the model" : "in '" + scope + "'";
}

/// What a name of the program stands for: a value, a size or a constant.
using Environment = std::unordered_map<std::string, Argument>;

class Lowering {
 public:
  Lowering(const ExportProgram& program, const TensorTable& weights, const TensorTable& constants)
      : program_(program), weights_(weights), constants_(constants) {}

  Export run() {
    choose_symbol_names();
    read_inputs();
    add_unlisted_names();
    lower_graph(program_.graph, names_, /*region=*/{});
    read_outputs();
    read_ranges();
    result_.hints = renamed_hints();
    result_.modules = program_.modules;
    result_.is_decomposed = program_.is_decomposed;
    result_.graph.metadata["source"] = "torch.export " + program_.torch_version;
    return std::move(result_);
  }

 private:
  // --- interface -----------------------------------------------------------------------------------------------

  /// The first symbolic size of an input's first axis is the batch.
  void choose_symbol_names() {
    std::set<std::string> symbols;
    std::optional<std::string> batch;
    for (const ProgramInput& input : program_.inputs) {
      const std::string* name = input.kind == ProgramInput::Kind::user ? input.value.tensor() : nullptr;
      if (name == nullptr) continue;
      const graph::Sizes& sizes = *meta_of(program_.graph, *name).sizes;
      for (const IntExpr& size : sizes) {
        for (const std::string& symbol : size.symbols()) symbols.insert(symbol);
      }
      if (!batch && !sizes.empty()) batch = sizes.front().symbol_name();
    }
    if (batch && symbols.count(kBatchSymbol) == 0) {
      renames_.emplace(*batch, IntExpr::symbol(kBatchSymbol));
      symbols.erase(*batch);
      symbols.insert(kBatchSymbol);
    }
    known_symbols_ = std::move(symbols);
  }

  IntExpr renamed(IntExpr expr) const {
    return expr.is_constant() || renames_.empty() ? expr : expr.substitute(renames_);
  }

  graph::Bindings renamed_hints() const {
    graph::Bindings hints;
    for (const auto& [name, value] : program_.graph.hints) {
      const auto found = renames_.find(name);
      hints.emplace(found == renames_.end() ? name : *found->second.symbol_name(), value);
    }
    return hints;
  }

  static const TensorType& meta_of(const ProgramGraph& graph, const std::string& name) {
    const auto found = graph.tensors.find(name);
    if (found == graph.tensors.end()) fail<IoError>("[capture] the program has no tensor '{}'", name);
    return found->second;
  }

  TensorType type_of(const ProgramGraph& graph, const std::string& name) const {
    TensorType type = meta_of(graph, name);
    for (IntExpr& size : *type.sizes) size = renamed(size);
    for (IntExpr& stride : *type.strides) stride = renamed(stride);
    return type;
  }

  void read_inputs() {
    std::vector<bool> keep;
    for (const ProgramInput& input : program_.inputs) {
      switch (input.kind) {
        case ProgramInput::Kind::user:
          keep.push_back(read_user_input(input));
          break;
        case ProgramInput::Kind::constant:
          keep.push_back(false);
          break;
        case ProgramInput::Kind::parameter:
        case ProgramInput::Kind::buffer:
        case ProgramInput::Kind::tensor_constant:
          read_parameter(input);
          break;
        case ProgramInput::Kind::custom_object:
        case ProgramInput::Kind::token:
          fail<Unsupported>("[capture] the model holds a script object or an effect token ('{}')", input.target);
      }
    }
    read_input_tree(keep);
  }

  /// True for a tensor. Python numbers that the export fixed are no inputs.
  bool read_user_input(const ProgramInput& input) {
    if (const std::string* symbol = input.value.symbol()) {
      fail<Unsupported>("[capture] input '{}' is a number of the user's: export the model with it as a constant",
                        *symbol);
    }
    const std::string* name = input.value.tensor();
    if (name == nullptr) return false;
    TensorType type = type_of(program_.graph, *name);
    type.strides.reset();
    type.requires_grad = false;
    result_.graph.inputs.push_back({.name = *name, .type = Type{std::move(type)}});
    names_[*name] = result_.graph.input_value(result_.graph.inputs.size() - 1);
    return true;
  }

  void read_input_tree(const std::vector<bool>& keep) {
    const graph::TreeSpec tree = parse_tree(program_.input_tree, program_.namedtuple_fields);
    const bool fits = tree.children.size() == 2 && count_leaves(tree) == keep.size();
    if (!fits) {  // no signature in the file: positional arguments in order
      result_.graph.input_tree = {.kind = "tuple", .type = {}, .keys = {}, .children = {}};
      result_.graph.input_tree.children.resize(result_.graph.inputs.size());
      return;
    }
    graph::TreeSpec call = prune_leaves(tree, keep);
    const auto is_empty = [](const graph::TreeSpec& part) { return part.kind != "leaf" && part.children.empty(); };
    std::erase_if(call.children, is_empty);
    result_.graph.input_tree = call.children.size() == 1 ? call.children.front() : call;
  }

  void read_parameter(const ProgramInput& input) {
    const std::string& name = *input.value.tensor();
    const bool is_constant = input.kind == ProgramInput::Kind::tensor_constant;
    const bool is_weight = !is_constant && input.is_persistent;
    const TensorTable& table = is_weight ? weights_ : constants_;
    const auto stored = table.find(input.target);
    if (stored == table.end()) fail<IoError>("[capture] the archive lacks the data of '{}'", input.target);
    const at::Tensor& tensor = stored->second.tensor;
    check_shape(meta_of(program_.graph, name), tensor, input.target);
    result_.graph.add_parameter({.name = input.target,
                                 .tensor = tensor,
                                 .is_buffer = input.kind != ProgramInput::Kind::parameter,
                                 .is_persistent = is_weight});
    if (is_constant) result_.lifted.insert(input.target);
    const ValueId value = result_.graph.parameter_value(input.target);
    set_strides(value, name);
    names_[name] = value;
  }

  /// Aliasing is decided by strides, which the name table's type leaves out.
  void set_strides(ValueId value, const std::string& name) {
    result_.graph.edit(value.node).types[0].tensor()->strides = type_of(program_.graph, name).strides;
  }

  static void check_shape(const TensorType& type, const at::Tensor& tensor, const std::string& name) {
    bool fits = type.dtype == tensor.scalar_type() && type.sizes->size() == static_cast<std::size_t>(tensor.dim());
    for (std::size_t axis = 0; fits && axis < type.sizes->size(); ++axis)
      fits = (*type.sizes)[axis].constant() == tensor.size(static_cast<int64_t>(axis));
    if (!fits) fail<IoError>("[capture] the data of '{}' has other sizes or another dtype than the program says", name);
  }

  /// Names of tied weights of which the program reads only one.
  void add_unlisted_names() {
    for (const auto& [name, stored] : weights_) {
      if (result_.graph.find_parameter(name) != nullptr) continue;
      result_.graph.add_parameter({.name = name, .tensor = stored.tensor, .is_buffer = !stored.is_parameter});
    }
  }

  void read_outputs() {
    std::vector<Argument> values;
    for (const ProgramOutput& output : program_.outputs) {
      switch (output.kind) {
        case ProgramOutput::Kind::user:
          values.push_back(convert(output.value, names_, "an output"));
          break;
        case ProgramOutput::Kind::buffer_mutation:
          add_state_write(output);
          break;
        case ProgramOutput::Kind::parameter_mutation:
          fail<Unsupported>("[capture] the model writes its parameter '{}' in forward", output.target);
        case ProgramOutput::Kind::input_mutation:
          result_.notes.push_back("the model writes into its input '" + output.target +
                                  "'; a graph leaves inputs alone");
          break;
      }
    }
    graph::TreeSpec tree = parse_tree(program_.output_tree, program_.namedtuple_fields);
    if (count_leaves(tree) != values.size()) {
      fail<IoError>("[capture] the program returns {} values and its tree has {} leaves", values.size(),
                    count_leaves(tree));
    }
    const std::vector<std::string> names = leaf_names(tree, "output");
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i].text() != nullptr) {
        fail<Unsupported>(
            "[capture] output '{}' is a text, '{}', and a graph returns tensors, numbers and None: "
            "leave it out of what forward returns",
            names[i], *values[i].text());
      }
      result_.graph.eval_outputs.push_back({.value = std::move(values[i]), .name = names[i]});
    }
    result_.graph.eval_tree = std::move(tree);
  }

  void add_state_write(const ProgramOutput& output) {
    const Argument value = convert(output.value, names_, "a written buffer");
    if (value.value() == nullptr || result_.graph.find_parameter(output.target) == nullptr)
      fail<IoError>("[capture] the program writes '{}', which is no buffer", output.target);
    result_.graph.state_writes.push_back({.buffer = output.target,
                                          .value = *value.value(),
                                          .when = graph::Mode::both,
                                          .scope = result_.graph.node(value.value()->node).scope});
  }

  void read_ranges() {
    for (const auto& [text, range] : program_.ranges) read_range(renamed(parse_sympy(text)), range);
    for (const std::string& guard : program_.guards) {
      const std::optional<Check> check = parse_guard(guard, result_.graph.inputs);
      if (!check) {
        result_.notes.push_back("the export's guard is not checked: " + guard);
      } else {
        add_check(*check);
      }
    }
  }

  /// Of a symbol, or of an expression, as a derived Dim has it: 2*n in [4, 64].
  void read_range(const IntExpr& size, const SymbolRange& range) {
    const std::set<std::string> symbols = size.symbols();
    if (!std::includes(known_symbols_.begin(), known_symbols_.end(), symbols.begin(), symbols.end())) return;
    constexpr int64_t kUnlimited = int64_t{1} << 62;  // sympy's infinity comes as a large number or null
    const int64_t low = std::max<int64_t>(range.min.value_or(1), 1);
    const int64_t high = range.max && *range.max < kUnlimited ? *range.max : INT64_MAX;
    if (const auto name = size.symbol_name()) {
      result_.graph.ranges.push_back({.symbol = *name, .min = low, .max = high});
      return;
    }
    const std::string message = fmt::format("the size {} must lie in [{}, {}]", size.to_string(), low, high);
    add_check({.left = low, .right = size, .relation = Check::Relation::less_equal, .message = message});
    if (high != INT64_MAX)
      add_check({.left = size, .right = high, .relation = Check::Relation::less_equal, .message = message});
  }

  void add_check(Check check) {
    if (!is_informative(check)) return;
    for (const Check& known : result_.graph.checks) {
      if (known.left == check.left && known.right == check.right && known.relation == check.relation) return;
    }
    result_.graph.checks.push_back(std::move(check));
  }

  // --- nodes -----------------------------------------------------------------------------------------------------

  void lower_graph(const ProgramGraph& graph, Environment& names, const graph::Region& region) {
    for (const ProgramNode& node : graph.nodes) {
      if (lower_size(graph, node, names)) continue;
      if (lower_check(node)) continue;
      if (node.target.compare(0, kHigherOrder.size(), kHigherOrder) == 0) {
        lower_higher_order(node, names, region);
      } else if (node.target.compare(0, kTorchOps.size(), kTorchOps) == 0) {
        lower_op(graph, node, names, region);
      } else {
        fail<Unsupported>("[capture] {} {} is no operator of tensors or sizes", node.target, place_of(node));
      }
    }
  }

  /// Nodes that compute sizes: the file has their value as an expression.
  bool lower_size(const ProgramGraph& graph, const ProgramNode& node, Environment& names) {
    if (node.outputs.empty()) return false;
    for (const ProgramArgument& output : node.outputs) {
      if (output.symbol() == nullptr) return false;
    }
    for (const ProgramArgument& output : node.outputs) {
      const auto found = graph.ints.find(*output.symbol());
      if (found != graph.ints.end()) {
        const IntExpr value = renamed(found->second);
        check_symbols(value, node);
        names[*output.symbol()] = value;
      } else if (!lower_comparison(node, *output.symbol(), names)) {
        pending_.emplace(*output.symbol(), &node);  // a bool or float of sizes: refused when something uses it
      }
    }
    return true;
  }

  bool lower_comparison(const ProgramNode& node, const std::string& output, const Environment& names) {
    static const std::map<std::string, std::pair<Check::Relation, bool>, std::less<>> kOperators{
        {"_operator.eq", {Check::Relation::equal, false}},      {"_operator.ne", {Check::Relation::not_equal, false}},
        {"_operator.le", {Check::Relation::less_equal, false}}, {"_operator.ge", {Check::Relation::less_equal, true}},
        {"_operator.lt", {Check::Relation::less, false}},       {"_operator.gt", {Check::Relation::less, true}}};
    const auto found = kOperators.find(node.target);
    if (found == kOperators.end() || node.inputs.size() != 2) return false;
    const Argument left = convert(node.inputs[0].value, names, node.target);
    const Argument right = convert(node.inputs[1].value, names, node.target);
    if (left.integer() == nullptr || right.integer() == nullptr) return false;
    const auto [relation, is_swapped] = found->second;
    comparisons_[output] = {.left = is_swapped ? *right.integer() : *left.integer(),
                            .right = is_swapped ? *left.integer() : *right.integer(),
                            .relation = relation,
                            .message = {}};
    return true;
  }

  /// Asserts about sizes become checks; asserts about dtypes hold by construction.
  bool lower_check(const ProgramNode& node) {
    if (node.target == "torch.ops.aten._assert_tensor_metadata.default") return true;
    if (node.target == "torch.ops.aten.sym_constrain_range_for_size.default" ||
        node.target == "torch.ops.aten.sym_constrain_range.default")
      return true;
    if (node.target != "torch.ops.aten._assert_scalar.default") return false;
    if (node.inputs.empty()) fail<IoError>("[capture] {} lacks its argument", node.target);
    const std::string* symbol = node.inputs.front().value.symbol();
    if (symbol == nullptr) return true;
    const auto* text = node.inputs.size() > 1 ? std::get_if<std::string>(&node.inputs[1].value.kind) : nullptr;
    const std::string message = text == nullptr ? std::string() : *text;
    const auto known = comparisons_.find(*symbol);
    if (known == comparisons_.end()) {
      result_.notes.push_back("the export's assertion is not checked: " + message);
    } else {
      Check check = known->second;
      check.message = message;
      add_check(std::move(check));
    }
    return true;
  }

  void lower_higher_order(const ProgramNode& node, Environment& names, const graph::Region& region) {
    const std::string_view name = std::string_view(node.target).substr(kHigherOrder.size());
    graph::Region inner = region;
    std::size_t next = 0;
    if (name == "wrap_with_set_grad_enabled") {
      inner.grad_enabled = input_as<bool>(node, next++);
    } else if (name == "wrap_with_autocast") {
      inner.autocast = read_autocast(node, next);
    } else {
      fail<Unsupported>(
          "[capture] {} {} is control flow that depends on data, which a graph does not express. Export a model "
          "without it (torch.where, or a fixed number of steps).",
          node.target, place_of(node));
    }
    inline_graph(node, next, names, inner);
  }

  static const ProgramArgument& input_of(const ProgramNode& node, std::size_t index) {
    if (index >= node.inputs.size()) fail<IoError>("[capture] {} lacks its argument {}", node.target, index);
    return node.inputs[index].value;
  }

  template <class T>
  static const T& input_as(const ProgramNode& node, std::size_t index) {
    const T* value = std::get_if<T>(&input_of(node, index).kind);
    if (value == nullptr) fail<IoError>("[capture] argument {} of {} is of another kind", index, node.target);
    return *value;
  }

  /// (device_type, dtype, enabled, cache_enabled, graph, arguments...)
  static graph::Region::Autocast read_autocast(const ProgramNode& node, std::size_t& next) {
    graph::Region::Autocast autocast;
    autocast.device_type = c10::Device(input_as<std::string>(node, next++)).type();
    const ProgramArgument& dtype = input_of(node, next++);
    if (const auto* type = std::get_if<at::ScalarType>(&dtype.kind)) autocast.dtype = *type;
    autocast.enabled = input_as<bool>(node, next++);
    const ProgramArgument& cache = input_of(node, next++);
    if (const bool* enabled = std::get_if<bool>(&cache.kind)) autocast.cache_enabled = *enabled;
    return autocast;
  }

  void inline_graph(const ProgramNode& node, std::size_t next, Environment& names, const graph::Region& region) {
    const auto& inner = input_as<std::shared_ptr<const ProgramGraph>>(node, next++);
    if (inner->inputs.size() != node.inputs.size() - next)
      fail<IoError>("[capture] {} passes {} arguments to a graph of {}", node.target, node.inputs.size() - next,
                    inner->inputs.size());
    Environment inner_names;
    for (std::size_t i = 0; i < inner->inputs.size(); ++i) {
      const std::string* name = name_of(inner->inputs[i]);
      if (name != nullptr) inner_names[*name] = convert(node.inputs[next + i].value, names, node.target);
    }
    lower_graph(*inner, inner_names, region);
    const ProgramArguments outputs = flat(node.outputs), results = flat(inner->outputs);
    if (outputs.size() != results.size())
      fail<IoError>("[capture] {} has {} outputs and its graph {}", node.target, outputs.size(), results.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (const std::string* name = name_of(outputs[i])) names[*name] = convert(results[i], inner_names, node.target);
    }
  }

  static const std::string* name_of(const ProgramArgument& argument) {
    return argument.tensor() != nullptr ? argument.tensor() : argument.symbol();
  }

  static ProgramArguments flat(const ProgramArguments& arguments) {
    ProgramArguments result;
    for (const ProgramArgument& argument : arguments) {
      if (const auto* list = std::get_if<ProgramArguments>(&argument.kind)) {
        result.insert(result.end(), list->begin(), list->end());
      } else {
        result.push_back(argument);
      }
    }
    return result;
  }

  void lower_op(const ProgramGraph& graph, const ProgramNode& source, Environment& names, const graph::Region& region) {
    const std::string name = op_name(source.target);
    const graph::OpInfo* op = graph::find_op(name);
    if (op == nullptr) {
      fail<Unsupported>("[capture] {} {} is an operator that this libtorch does not have", name, place_of(source));
    }
    graph::NamedArguments arguments;
    for (const NamedProgramArgument& input : source.inputs)
      arguments.emplace_back(input.name, convert(input.value, names, source.target));
    Node node{.op = op};
    try {
      node.arguments = graph::complete_arguments(*op, {}, arguments);
    } catch (const InvalidArgument& error) {
      fail<IoError>("[capture] {} {}: {}", name, place_of(source), error.what());
    }
    const ProgramArguments outputs = flat(source.outputs);
    for (const ProgramArgument& output : outputs) add_output(graph, source, output, node);
    set_place(source, node);
    if (region != graph::Region{}) node.region = result_.graph.add_region(region);
    const graph::NodeId id = result_.graph.append(std::move(node));
    for (uint32_t i = 0; i < outputs.size(); ++i) {
      if (const std::string* output = outputs[i].tensor()) names[*output] = ValueId{id, i};
    }
    result_.set_trace(id, source.stack_trace);
  }

  void add_output(const ProgramGraph& graph, const ProgramNode& source, const ProgramArgument& output,
                  Node& node) const {
    if (std::holds_alternative<std::monostate>(output.kind)) {
      node.types.emplace_back();
      node.names.emplace_back();
      return;
    }
    const std::string* name = output.tensor();
    if (name == nullptr) {
      fail<Unsupported>("[capture] {} {} makes a number that depends on data", op_name(source.target),
                        place_of(source));
    }
    TensorType type = type_of(graph, *name);
    for (const IntExpr& size : *type.sizes) check_symbols(size, source);
    node.types.push_back(Type{std::move(type)});
    node.names.push_back(*name);
  }

  void check_symbols(IntExpr size, const ProgramNode& source) const {
    for (const std::string& symbol : size.symbols()) {
      if (known_symbols_.count(symbol) != 0) continue;
      fail<Unsupported>("[capture] {} {} makes a size that depends on data ({}), which a graph does not express",
                        source.target, place_of(source), size.to_string());
    }
  }

  void set_place(const ProgramNode& source, Node& node) {
    std::map<std::string, uint32_t, std::less<>> calls;
    for (const ModuleCall& module : source.modules) {
      node.scope = result_.graph.add_scope(module.path, module.type);
      node.call = module.call;
      calls[module.path] = module.call;
    }
    const std::string path = innermost(source);
    std::vector<uint32_t> outer;
    for (std::size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', dot + 1)) {
      const auto known = calls.find(std::string_view(path).substr(0, dot));
      outer.push_back(known == calls.end() ? 0 : known->second);
    }
    node.outer_calls = result_.graph.add_outer_calls(std::move(outer));
  }

  // --- arguments ---------------------------------------------------------------------------------------------------

  Argument convert(const ProgramArgument& argument, const Environment& names, std::string_view user) const {
    return std::visit([&](const auto& value) { return convert_kind(value, names, user); }, argument.kind);
  }

  Argument convert_kind(std::monostate, const Environment&, std::string_view) const { return graph::None{}; }
  Argument convert_kind(const TensorName& value, const Environment& names, std::string_view user) const {
    const auto found = names.find(value.name);
    if (found == names.end()) fail<IoError>("[capture] {} uses '{}' before it is made", user, value.name);
    return found->second;
  }
  Argument convert_kind(const SymbolName& value, const Environment& names, std::string_view user) const {
    const auto found = names.find(value.name);
    if (found != names.end()) return found->second;
    const auto pending = pending_.find(value.name);
    if (pending == pending_.end() && comparisons_.count(value.name) == 0)
      fail<IoError>("[capture] {} uses '{}' before it is made", user, value.name);
    const std::string made_by = pending == pending_.end() ? "a comparison of sizes"
                                                          : pending->second->target + " " + place_of(*pending->second);
    fail<Unsupported>("[capture] {} needs a number computed by {}, which is no integer expression of sizes", user,
                      made_by);
  }
  Argument convert_kind(const ProgramArguments& values, const Environment& names, std::string_view user) const {
    graph::ArgumentList list;
    for (const ProgramArgument& value : values) list.push_back(convert(value, names, user));
    return list;
  }
  Argument convert_kind(const std::shared_ptr<const ProgramGraph>&, const Environment&, std::string_view user) const {
    fail<Unsupported>("[capture] {} takes a function, which a graph does not express", user);
  }
  Argument convert_kind(const CustomObject& value, const Environment&, std::string_view user) const {
    fail<Unsupported>("[capture] {} takes the script object '{}' of class {}", user, value.name, value.type);
  }
  template <class T>
  Argument convert_kind(const T& value, const Environment&, std::string_view) const {
    return value;
  }

  const ExportProgram& program_;
  const TensorTable& weights_;
  const TensorTable& constants_;
  Export result_;
  Environment names_;
  std::map<std::string, IntExpr, std::less<>> renames_;
  std::set<std::string> known_symbols_;
  std::unordered_map<std::string, Check> comparisons_;
  std::unordered_map<std::string, const ProgramNode*> pending_;
};

}  // namespace

const std::string& Export::trace(graph::NodeId id) const {
  static const std::string none;
  return id < traces.size() ? traces[id] : none;
}

void Export::set_trace(graph::NodeId id, std::string trace) {
  if (traces.size() <= id) traces.resize(id + 1);
  traces[id] = std::move(trace);
}

Export lower(const ExportProgram& program, const TensorTable& weights, const TensorTable& constants) {
  return Lowering(program, weights, constants).run();
}

}  // namespace limbeck::capture
