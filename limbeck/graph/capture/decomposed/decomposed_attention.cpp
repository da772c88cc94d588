#include <algorithm>
#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/graph/capture/decomposed/decomposed.h"

namespace limbeck::capture {

using graph::Argument;
using graph::Node;
using graph::NodeId;
using graph::Sizes;
using graph::ValueId;

namespace {

/// matmul(softmax(matmul(q * s, transposed(k) * s) + mask), v), where softmax may guard rows that are masked whole.
class Pass {
 public:
  explicit Pass(Export& source) : raise_(source), graph_(source.graph) {}

  void run() {
    for (const NodeId id : std::vector<NodeId>(graph_.order())) {
      if (graph_.node(id).op->is("aten::matmul")) attention(id);
    }
  }

 private:
  void attention(NodeId id) {
    const auto weights = raise_.operand({id, 0}, 0), value = raise_.operand({id, 0}, 1);
    if (!weights || !value) return;
    const auto scores = scores_of(*weights);
    if (!scores) return;
    Argument mask;
    ValueId product = *scores;
    if (raise_.is(product, "aten::add.Tensor") && graph_.node(product.node).arguments[2].as_double() == 1.0) {
      if (!raise_.operand(product, 0) || !raise_.operand(product, 1)) return;
      mask = *raise_.operand(product, 1);
      product = *raise_.operand(product, 0);
    }
    if (!raise_.is(product, "aten::matmul")) return;
    const auto query = scaled(*raise_.operand(product, 0)), key = scaled(*raise_.operand(product, 1));
    if (!query || !key || query->second != key->second) return;
    const auto untransposed = last_axes_swapped(key->first);
    if (!untransposed || raise_.sizes(query->first) == nullptr || raise_.sizes(query->first)->size() < 3) return;
    raise_.replace(id, {id, 0}, "aten::scaled_dot_product_attention",
                   {{"query", query->first},
                    {"key", *untransposed},
                    {"value", *value},
                    {"attn_mask", mask},
                    {"dropout_p", 0.0},
                    {"is_causal", false},
                    {"scale", query->second * key->second}});
  }

  /// What softmax over the last axis was taken of, looking through the guard
  /// where(not any(not (scores == -inf)), 0, softmax(scores)).
  std::optional<ValueId> scores_of(ValueId weights) const {
    if (raise_.is(weights, "aten::where.self")) {
      const auto guarded = raise_.operand(weights, 2);
      const auto condition = raise_.operand(weights, 0);
      if (!guarded || !condition || !raise_.is(*condition, "aten::logical_not")) return std::nullopt;
      const auto any = raise_.operand(*condition, 0);
      if (!any || !raise_.is(*any, "aten::any.dim")) return std::nullopt;
      weights = *guarded;
    }
    if (!raise_.is(weights, "aten::softmax.int")) return std::nullopt;
    const Sizes* sizes = raise_.sizes(weights);
    const auto dim = graph_.node(weights.node).arguments[1].as_int();
    const bool is_last = dim && sizes != nullptr && (*dim == -1 || *dim == static_cast<int64_t>(sizes->size()) - 1);
    return is_last ? raise_.operand(weights, 0) : std::nullopt;
  }

  std::optional<std::pair<ValueId, double>> scaled(ValueId value) const {
    if (!raise_.is(value, "aten::mul.Scalar")) return std::nullopt;
    const auto input = raise_.operand(value, 0);
    const auto factor = graph_.node(value.node).arguments[1].as_double();
    if (!input || !factor) return std::nullopt;
    return std::pair(*input, *factor);
  }

  std::optional<ValueId> last_axes_swapped(ValueId value) const {
    const Sizes* sizes = raise_.sizes(value);
    if (sizes == nullptr || sizes->size() < 3) return std::nullopt;
    const auto rank = static_cast<int64_t>(sizes->size());
    const Node& node = graph_.node(value.node);
    const auto axis = [rank](const Argument& argument) { return (argument.as_int().value_or(0) + rank) % rank; };
    if (node.op->is("aten::transpose.int")) {
      const int64_t a = axis(node.arguments[1]), b = axis(node.arguments[2]);
      return std::min(a, b) == rank - 2 && std::max(a, b) == rank - 1 ? raise_.operand(value, 0) : std::nullopt;
    }
    const graph::ArgumentList* dims = node.op->is("aten::permute") ? node.arguments[1].list() : nullptr;
    if (dims == nullptr || static_cast<int64_t>(dims->size()) != rank) return std::nullopt;
    for (int64_t i = 0; i < rank; ++i) {
      const int64_t wanted = i < rank - 2 ? i : (i == rank - 2 ? rank - 1 : rank - 2);
      if (axis((*dims)[static_cast<std::size_t>(i)]) != wanted) return std::nullopt;
    }
    return raise_.operand(value, 0);
  }

  Raiser raise_;
  graph::Graph& graph_;
};

}  // namespace

void raise_attention(Export& source) { Pass(source).run(); }

}  // namespace limbeck::capture
