// Interpolation of the last axes to sizes that are given, or scaled by factors.

#include <cmath>

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

/// floor(size · factor), exactly where the factor is a whole number.
std::optional<IntExpr> scaled(const IntExpr& size, double factor) {
  if (factor == std::floor(factor) && factor >= 1 && factor < 1e6) return size * IntExpr(static_cast<int64_t>(factor));
  if (const auto constant = size.constant()) return static_cast<int64_t>(static_cast<double>(*constant) * factor);
  return std::nullopt;
}

/// upsample_*.vec(input, output_size?, ..., scale_factors?)
std::vector<Type> shape_upsample_vec(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("input", 3, 5);
  Sizes sizes = view.sizes("input");
  const std::size_t rank = sizes.size() - 2;
  if (view.has("output_size")) {
    const std::vector<IntExpr> output = view.integers("output_size", rank);
    std::copy(output.begin(), output.end(), sizes.begin() + 2);
    return {tensor_like(view.tensor("input"), std::move(sizes))};
  }
  const ArgumentList* factors = view.argument("scale_factors").list();
  if (factors == nullptr || factors->size() != rank) view.refuse("'scale_factors' must hold {} numbers", rank);
  for (std::size_t i = 0; i < rank; ++i) {
    const auto factor = (*factors)[i].as_double();
    const auto size = factor ? scaled(sizes[2 + i], *factor) : std::nullopt;
    if (!size) return {};
    sizes[2 + i] = *size;
  }
  return {tensor_like(view.tensor("input"), std::move(sizes))};
}

/// upsample_*(self, output_size, ...)
std::vector<Type> shape_upsample(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("self", 3, 5);
  Sizes sizes = view.sizes("self");
  const std::vector<IntExpr> output = view.integers("output_size", sizes.size() - 2);
  std::copy(output.begin(), output.end(), sizes.begin() + 2);
  return {tensor_like(view.tensor("self"), std::move(sizes))};
}

}  // namespace

void add_resampling_rows(TraitsTable& table) {
  for (const char* kind : {"nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "bicubic2d"}) {
    const std::string name = "aten::upsample_" + std::string(kind);
    table[name].shape = shape_upsample;
    table[name + ".vec"].shape = shape_upsample_vec;
  }
}

}  // namespace limbeck::graph
