#include "limbeck/graph/passes/fold_constants.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/graph/call_node.h"

namespace limbeck::passes {

using graph::Argument;
using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

namespace {

/// How large an op's output can get.
enum class Bound : uint8_t {
  view,       // no memory at all
  broadcast,  // the broadcast of the tensor arguments
  factory,    // the product of the `size` argument, or one element
  sequence,   // arange: (end - start) / step
  sum,        // cat, stack: all elements of the list
  indexed,    // at most elements of self times elements of the indices
};

const std::map<std::string, Bound, std::less<>>& bounds() {
  static const auto* const table = [] {
    auto* rows = new std::map<std::string, Bound, std::less<>>;
    const auto add = [rows](Bound bound, std::initializer_list<const char*> names) {
      for (const char* name : names) rows->emplace(std::string("aten::") + name, bound);
    };
    add(Bound::view, {"view",
                      "permute",
                      "transpose.int",
                      "t",
                      "unsqueeze",
                      "squeeze",
                      "squeeze.dim",
                      "squeeze.dims",
                      "slice.Tensor",
                      "select.int",
                      "expand",
                      "alias",
                      "detach",
                      "unbind.int",
                      "chunk",
                      "split.Tensor",
                      "split_with_sizes",
                      "movedim.int",
                      "flatten.using_ints",
                      "narrow",
                      "diagonal",
                      "expand_as"});
    add(Bound::broadcast, {"add.Tensor",
                           "sub.Tensor",
                           "rsub.Scalar",
                           "mul.Tensor",
                           "div.Tensor",
                           "add.Scalar",
                           "sub.Scalar",
                           "mul.Scalar",
                           "div.Scalar",
                           "div.Tensor_mode",
                           "floor_divide",
                           "remainder.Scalar",
                           "fmod.Scalar",
                           "neg",
                           "abs",
                           "exp",
                           "log",
                           "sin",
                           "cos",
                           "sqrt",
                           "rsqrt",
                           "pow.Tensor_Scalar",
                           "pow.Scalar",
                           "reciprocal",
                           "floor",
                           "ceil",
                           "round",
                           "clamp",
                           "minimum",
                           "maximum",
                           "eq.Scalar",
                           "ne.Scalar",
                           "lt.Scalar",
                           "le.Scalar",
                           "gt.Scalar",
                           "ge.Scalar",
                           "eq.Tensor",
                           "ne.Tensor",
                           "lt.Tensor",
                           "le.Tensor",
                           "gt.Tensor",
                           "ge.Tensor",
                           "logical_not",
                           "logical_and",
                           "logical_or",
                           "bitwise_not",
                           "bitwise_and.Tensor",
                           "bitwise_or.Tensor",
                           "__and__.Tensor",
                           "__or__.Tensor",
                           "where.self",
                           "where.ScalarSelf",
                           "where.ScalarOther",
                           "masked_fill.Scalar",
                           "masked_fill.Tensor",
                           "clone",
                           "contiguous",
                           "reshape",
                           "reshape_as",
                           "lift_fresh_copy",
                           "copy",
                           "fill.Scalar",
                           "fill.Tensor",
                           "zero",
                           "to.dtype",
                           "to.device",
                           "to.dtype_layout",
                           "_to_copy",
                           "tril",
                           "triu",
                           "roll",
                           "flip",
                           "cumsum",
                           "slice_scatter",
                           "select_scatter",
                           "diagonal_scatter",
                           "full_like",
                           "zeros_like",
                           "ones_like",
                           "log2",
                           "logical_xor",
                           "view_as",
                           "type_as",
                           "bitwise_left_shift.Tensor"});
    add(Bound::factory, {"zeros", "ones", "full", "new_zeros", "new_ones", "new_full", "scalar_tensor"});
    add(Bound::sequence, {"arange", "arange.start", "arange.start_step"});
    add(Bound::sum, {"cat", "stack"});
    add(Bound::indexed, {"index.Tensor", "index_select", "gather", "embedding", "take_along_dim"});
    return rows;
  }();
  return *table;
}

class Folder {
 public:
  Folder(Graph& graph, const FoldOptions& options) : graph_(graph), options_(options) {}

  bool run() {
    const c10::NoGradGuard guard;
    for (const NodeId id : std::vector<NodeId>(graph_.order())) visit(id);
    if (values_.empty()) return false;
    return store_used();
  }

 private:
  void visit(NodeId id) {
    const Node& node = graph_.node(id);
    if (node.op->is("limbeck::parameter")) {
      const graph::Parameter* parameter = graph_.as_parameter({id, 0});
      if (options_.is_constant && options_.is_constant(*parameter)) given_.emplace(ValueId{id, 0}, parameter->tensor);
      return;
    }
    const auto row = bounds().find(node.op->name);
    if (row == bounds().end() || node.region != 0 || !is_constant(node)) return;
    const std::optional<double> elements = bound_of(node, row->second);
    if (!elements || *elements * 8 > static_cast<double>(options_.max_bytes)) return;
    evaluate(id);
  }

  bool is_constant(const Node& node) const {
    bool constant = true;
    for (const Argument& argument : node.arguments) constant = constant && is_constant(argument);
    return constant;
  }

  bool is_constant(const Argument& argument) const {
    if (const ValueId* value = argument.value()) return tensor(*value) != nullptr;
    if (const auto* list = argument.list())
      return std::all_of(list->begin(), list->end(), [&](const Argument& element) { return is_constant(element); });
    const graph::IntExpr* integer = argument.integer();
    return integer == nullptr || integer->is_constant();
  }

  const at::Tensor* tensor(ValueId value) const {
    if (const auto found = values_.find(value); found != values_.end()) return &found->second;
    const auto found = given_.find(value);
    return found == given_.end() ? nullptr : &found->second;
  }

  std::vector<const at::Tensor*> tensors(const Node& node) const {
    std::vector<const at::Tensor*> result;
    for (const Argument& argument : node.arguments)
      graph::for_each_value(argument, [&](ValueId value) { result.push_back(tensor(value)); });
    return result;
  }

  /// Elements of the output at most, in floating point so that hostile sizes don't overflow.
  std::optional<double> bound_of(const Node& node, Bound bound) const {
    switch (bound) {
      case Bound::view:
        return 0;
      case Bound::broadcast:
        return broadcast_elements(node);
      case Bound::factory:
        return factory_elements(node);
      case Bound::sequence:
        return sequence_elements(node);
      case Bound::sum: {
        double sum = 0;
        for (const at::Tensor* input : tensors(node)) sum += static_cast<double>(input->numel());
        return sum;
      }
      case Bound::indexed: {
        double product = 1;
        for (const at::Tensor* input : tensors(node))
          product *= static_cast<double>(std::max<int64_t>(input->numel(), 1));
        return product;
      }
    }
    return std::nullopt;
  }

  double broadcast_elements(const Node& node) const {
    std::vector<double> sizes;  // innermost first
    for (const at::Tensor* input : tensors(node)) {
      const auto rank = static_cast<std::size_t>(input->dim());
      sizes.resize(std::max(sizes.size(), rank), 1);
      for (std::size_t axis = 0; axis < rank; ++axis)
        sizes[axis] = std::max(sizes[axis], static_cast<double>(input->size(static_cast<int64_t>(rank - 1 - axis))));
    }
    double product = 1;
    for (const double size : sizes) product *= size;
    return product;
  }

  static std::optional<double> factory_elements(const Node& node) {
    const auto slot = node.op->find_slot("size");
    if (!slot) return 1;
    if (node.arguments[*slot].list() == nullptr) return std::nullopt;
    double product = 1;
    for (const Argument& size : *node.arguments[*slot].list()) {
      if (!size.as_int() || *size.as_int() < 0) return std::nullopt;
      product *= static_cast<double>(*size.as_int());
    }
    return product;
  }

  static std::optional<double> sequence_elements(const Node& node) {
    const auto number = [&](const char* name, double fallback) -> std::optional<double> {
      const auto slot = node.op->find_slot(name);
      return slot ? node.arguments[*slot].as_double() : fallback;
    };
    const auto start = number("start", 0), end = number("end", 0), step = number("step", 1);
    if (!start || !end || !step || *step == 0 || !std::isfinite(*start) || !std::isfinite(*end)) return std::nullopt;
    return std::abs((*end - *start) / *step) + 1;
  }

  void evaluate(NodeId id) {
    const Node& node = graph_.node(id);
    std::map<ValueId, c10::IValue> arguments;
    const auto value_of = [&](ValueId value) -> const c10::IValue& {
      return arguments.emplace(value, *tensor(value)).first->second;
    };
    std::vector<c10::IValue> results;
    try {
      results = graph::call_node(graph_, node, value_of, {});
    } catch (const InvalidArgument&) {  // the file's sizes contradict each other: a run will say so, with its values
      return;
    }
    if (results.size() != node.types.size()) return;
    for (uint32_t output = 0; output < results.size(); ++output) {
      if (results[output].isTensor()) values_[{id, output}] = results[output].toTensor();
    }
  }

  /// Folded values that nodes outside the folded ones need, or that leave the graph, become buffers.
  bool store_used() {
    std::set<NodeId> folded;
    for (const auto& entry : values_) folded.insert(entry.first.node);
    const graph::UseMap uses(graph_);
    bool changed = false;
    for (const auto& [value, result] : values_) {
      const std::vector<NodeId>& users = uses.users(value);
      const bool escapes =
          uses.num_uses(value) > users.size() ||
          std::any_of(users.begin(), users.end(), [&](NodeId user) { return folded.count(user) == 0; });
      if (!escapes || result.nbytes() > static_cast<std::size_t>(options_.max_bytes)) continue;
      const double elements = static_cast<double>(result.numel()) * static_cast<double>(result.element_size());
      if (elements > static_cast<double>(options_.max_bytes)) continue;
      store(value, result);
      changed = true;
    }
    return changed && (graph::eliminate_dead_nodes(graph_), true);
  }

  void store(ValueId value, const at::Tensor& result) {
    const Node& node = graph_.node(value.node);
    const std::string& scope = graph_.scope(node.scope).path;
    const std::string base = (scope.empty() ? "" : scope + ".") + "constant";
    std::string name = base;
    for (int i = 1; graph_.find_parameter(name) != nullptr; ++i) name = base + "_" + std::to_string(i);
    graph_.add_parameter({.name = name, .tensor = result.clone(), .is_buffer = true, .is_persistent = false});
    graph_.replace_all_uses(value, graph_.parameter_value(name));
  }

  Graph& graph_;
  const FoldOptions& options_;
  std::map<ValueId, at::Tensor> given_;   // constants of the name table
  std::map<ValueId, at::Tensor> values_;  // what folded nodes made
};

}  // namespace

bool fold_constants(Graph& graph, const FoldOptions& options) { return Folder(graph, options).run(); }

}  // namespace limbeck::passes
