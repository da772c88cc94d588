#include <algorithm>

#include "limbeck/core/error.h"
#include "limbeck/graph/capture/decomposed/decomposed.h"

namespace limbeck::capture {

using graph::Argument;
using graph::Node;
using graph::NodeId;
using graph::Sizes;
using graph::ValueId;

namespace {

class Pass {
 public:
  explicit Pass(Export& source) : raise_(source), graph_(source.graph) {}

  void run() {
    for (const NodeId id : std::vector<NodeId>(graph_.order())) {
      const graph::OpInfo& op = *graph_.node(id).op;
      if (op.is("aten::addmm") || op.is("aten::mm")) linear(id);
      if (op.is("aten::bmm")) matmul(id);
    }
    graph::eliminate_dead_nodes(graph_);
    for (const NodeId id : std::vector<NodeId>(graph_.order())) {
      if (graph_.node(id).op->is("aten::matmul")) linear_of_matmul(id);
    }
    graph::eliminate_dead_nodes(graph_);
    for (const NodeId id : std::vector<NodeId>(graph_.order())) {
      if (graph_.node(id).op->is("aten::add.Tensor")) bias_of_linear(id);
    }
    graph::eliminate_dead_nodes(graph_);
  }

 private:
  bool is_view(ValueId value) const { return raise_.is(value, "aten::view") || raise_.is(value, "aten::_unsafe_view"); }

  /// The weight whose transposed form `value` is.
  std::optional<ValueId> transposed_weight(ValueId value) const {
    const bool is_transposed = raise_.is(value, "aten::t") ||
                               (raise_.is(value, "aten::permute") && is_swap(graph_.node(value.node).arguments[1]));
    const Sizes* sizes = raise_.sizes(value);
    return is_transposed && sizes != nullptr && sizes->size() == 2 ? raise_.operand(value, 0) : std::nullopt;
  }

  static bool is_swap(const Argument& dims) {
    const graph::ArgumentList* list = dims.list();
    return list != nullptr && list->size() == 2 && (*list)[0].as_int() == 1 && (*list)[1].as_int() == 0;
  }

  /// addmm(bias, x, Wt) or mm(x, Wt), where views may flatten x to two axes and unflatten the result.
  void linear(NodeId id) {
    const Node& node = graph_.node(id);
    const bool has_bias = node.op->is("aten::addmm");
    const std::size_t first = has_bias ? 1 : 0;
    if (has_bias && (node.arguments[3].as_double() != 1.0 || node.arguments[4].as_double() != 1.0)) return;
    const auto x = raise_.operand({id, 0}, first), transposed = raise_.operand({id, 0}, first + 1);
    const auto weight = transposed ? transposed_weight(*transposed) : std::nullopt;
    if (!x || !weight) return;
    const Argument bias = has_bias ? node.arguments[0] : Argument();
    if (has_bias &&
        (bias.value() == nullptr || raise_.sizes(*bias.value()) == nullptr || raise_.sizes(*bias.value())->size() != 1))
      return;
    const std::vector<NodeId> users = graph_.users({id, 0});
    const bool is_unflattened = users.size() == 1 && !graph_.is_exported({id, 0}) && is_view({users[0], 0});
    const auto source = is_unflattened && is_view(*x) ? raise_.operand(*x, 0) : std::nullopt;
    if (source && keeps_leading_axes(*source, {users[0], 0}, *weight)) {
      raise_.replace(users[0], {users[0], 0}, "aten::linear",
                     {{"input", *source}, {"weight", *weight}, {"bias", bias}});
    } else {
      raise_.replace(id, {id, 0}, "aten::linear", {{"input", *x}, {"weight", *weight}, {"bias", bias}});
    }
  }

  bool keeps_leading_axes(ValueId input, ValueId output, ValueId weight) const {
    const Sizes *in = raise_.sizes(input), *out = raise_.sizes(output), *w = raise_.sizes(weight);
    if (in == nullptr || out == nullptr || w == nullptr || in->size() != out->size() || in->empty() || w->size() != 2)
      return false;
    return std::equal(in->begin(), in->end() - 1, out->begin()) && in->back() == (*w)[1] && out->back() == (*w)[0];
  }

  /// view(bmm(view(expand(a)), view(expand(b)))): clones between make the views possible.
  void matmul(NodeId id) {
    const std::vector<NodeId> users = graph_.users({id, 0});
    if (users.size() != 1 || graph_.is_exported({id, 0}) || !is_view({users[0], 0})) return;
    const Sizes* out = raise_.sizes({users[0], 0});
    const auto left = raise_.operand({id, 0}, 0), right = raise_.operand({id, 0}, 1);
    if (out == nullptr || out->size() < 3 || !left || !right) return;
    const auto a = unexpanded(*left, *out), b = unexpanded(*right, *out);
    if (!a || !b) return;
    raise_.replace(users[0], {users[0], 0}, "aten::matmul", {{"self", *a}, {"other", *b}});
  }

  /// The tensor that expand, clone and view gave the batch axes of `out` and then one batch axis.
  std::optional<ValueId> unexpanded(ValueId flattened, const Sizes& out) const {
    if (!is_view(flattened)) return std::nullopt;
    auto value = raise_.operand(flattened, 0);
    if (value && raise_.is(*value, "aten::clone")) value = raise_.operand(*value, 0);
    if (!value || !has_batch_axes_of(*value, flattened, out)) return std::nullopt;
    if (!raise_.is(*value, "aten::expand")) return value;
    const auto source = raise_.operand(*value, 0);
    return source && raise_.sizes(*source) != nullptr && raise_.sizes(*source)->size() >= 2 ? source : value;
  }

  bool has_batch_axes_of(ValueId value, ValueId flattened, const Sizes& out) const {
    const Sizes *sizes = raise_.sizes(value), *flat = raise_.sizes(flattened);
    if (sizes == nullptr || flat == nullptr || flat->size() != 3 || sizes->size() != out.size()) return false;
    const std::size_t batch = out.size() - 2;
    return std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(batch), sizes->begin()) &&
           (*sizes)[batch] == (*flat)[1] && (*sizes)[batch + 1] == (*flat)[2];
  }

  /// matmul(x, Wt) with a parameter W of two axes.
  void linear_of_matmul(NodeId id) {
    const auto x = raise_.operand({id, 0}, 0), transposed = raise_.operand({id, 0}, 1);
    const auto weight = transposed ? transposed_weight(*transposed) : std::nullopt;
    if (!x || !weight || graph_.as_parameter(*weight) == nullptr) return;
    raise_.replace(id, {id, 0}, "aten::linear", {{"input", *x}, {"weight", *weight}, {"bias", Argument()}});
  }

  /// add(linear(x, W), bias) made in the same call of one module.
  void bias_of_linear(NodeId id) {
    const auto product = raise_.operand({id, 0}, 0), bias = raise_.operand({id, 0}, 1);
    if (!product || !bias || !raise_.is(*product, "aten::linear") || graph_.as_parameter(*bias) == nullptr) return;
    const Node &add = graph_.node(id), &linear = graph_.node(product->node);
    if (add.scope != linear.scope || add.call != linear.call || !linear.arguments[2].is_none() ||
        add.arguments[2].as_double() != 1.0 || !raise_.is_used_once(*product))
      return;
    const Sizes *size = raise_.sizes(*bias), *weight = raise_.sizes(*linear.arguments[1].value());
    if (size == nullptr || weight == nullptr || size->size() != 1 || (*size)[0] != (*weight)[0]) return;
    raise_.replace(id, {id, 0}, "aten::linear",
                   {{"input", linear.arguments[0]}, {"weight", linear.arguments[1]}, {"bias", *bias}});
  }

  Raiser raise_;
  graph::Graph& graph_;
};

}  // namespace

void raise_matmuls(Export& source) { Pass(source).run(); }

}  // namespace limbeck::capture
