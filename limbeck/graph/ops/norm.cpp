// Normalisations. Outputs have the input's shape; saved statistics of the decomposed forms have their own.

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <c10/util/accumulate.h>

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

/// Running statistics and affine parameters, where given, have one element per channel.
void check_channels(const NodeView& view, std::initializer_list<std::string_view> names) {
  const Sizes& input = view.sizes("input");
  for (const std::string_view name : names) {
    if (!view.has(name)) continue;
    view.expect_rank(name, 1, 1);
    view.expect_equal(view.sizes(name)[0], input[1], "number of elements of '" + std::string(name) + "'");
  }
}

std::vector<Type> shape_batch_norm(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("input", 2, 8);
  check_channels(view, {"weight", "bias", "running_mean", "running_var"});
  return {tensor_like(view.tensor("input"), view.sizes("input"))};
}

std::vector<Type> shape_instance_norm(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("input", 3, 8);
  check_channels(view, {"weight", "bias", "running_mean", "running_var"});
  return {tensor_like(view.tensor("input"), view.sizes("input"))};
}

std::vector<Type> shape_group_norm(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("input", 2, 8);
  check_channels(view, {"weight", "bias"});
  view.expect_equal(mod(view.sizes("input")[1], view.integer("num_groups")), 0, "channels modulo groups");
  return {tensor_like(view.tensor("input"), view.sizes("input"))};
}

std::size_t num_outer_axes(const NodeView& view) {
  const Sizes& input = view.sizes("input");
  const std::vector<IntExpr> normalized = view.integers("normalized_shape");
  if (normalized.size() > input.size()) view.refuse("normalized_shape has more axes than {}", sizes_text(input));
  const std::size_t outer = input.size() - normalized.size();
  for (std::size_t i = 0; i < normalized.size(); ++i)
    view.expect_equal(input[outer + i], normalized[i], "size of axis");
  return outer;
}

std::vector<Type> shape_layer_norm(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  num_outer_axes(view);
  return {tensor_like(view.tensor("input"), view.sizes("input"))};
}

/// (output, mean, rstd) with the normalised axes of size 1 in the statistics.
std::vector<Type> shape_native_layer_norm(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const std::size_t outer = num_outer_axes(view);
  const Type output = tensor_like(view.tensor("input"), view.sizes("input"));
  Sizes statistics = view.sizes("input");
  for (std::size_t axis = outer; axis < statistics.size(); ++axis) statistics[axis] = 1;
  const Type saved = tensor_like(view.tensor("input"), statistics);
  return {output, saved, saved};
}

/// A variance of one value has no unbiased estimate: the running variance would become NaN.
void check_values_per_channel(const std::vector<c10::IValue>& stack) {
  const c10::IntArrayRef sizes = stack[0].toTensor().sizes();
  if (!stack[5].toBool() || sizes.size() < 2) return;
  TORCH_CHECK_VALUE(sizes[0] * c10::multiply_integers(sizes.begin() + 2, sizes.end()) != 1,
                    "expected more than 1 value per channel when training, got input of size ", sizes,
                    ". Leave out batches of one sample (drop_last) or put the layer into eval mode.");
}

void check_values_per_instance(const std::vector<c10::IValue>& stack) {
  const c10::IntArrayRef sizes = stack[0].toTensor().sizes();
  if (!stack[5].toBool() || sizes.size() < 3) return;
  TORCH_CHECK_VALUE(c10::multiply_integers(sizes.begin() + 2, sizes.end()) != 1,
                    "expected more than 1 spatial element when training, got input of size ", sizes);
}

}  // namespace

void add_norm_rows(TraitsTable& table) {
  // batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled)
  table["aten::batch_norm"] = {.mode_arguments = {{5, ModeKind::flag}},
                               .hidden_writes = {{3, 5}, {4, 5}},
                               .shape = shape_batch_norm,
                               .check = check_values_per_channel};
  // batch_norm_act(input, weight, bias, running_mean, running_var, training, momentum, eps, residual, activation)
  table["limbeck::batch_norm_act"] = {.mode_arguments = {{5, ModeKind::flag}},
                                      .hidden_writes = {{3, 5}, {4, 5}},
                                      .shape = shape_batch_norm,
                                      .check = check_values_per_channel};
  // instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled)
  table["aten::instance_norm"] = {.mode_arguments = {{5, ModeKind::flag}},
                                  .hidden_writes = {{3, 5}, {4, 5}},
                                  .shape = shape_instance_norm,
                                  .check = check_values_per_instance};
  table["aten::group_norm"] = {.shape = shape_group_norm};
  table["aten::layer_norm"] = {.shape = shape_layer_norm};
  table["aten::native_layer_norm"] = {.shape = shape_native_layer_norm};
  table["aten::rms_norm"] = {.shape = shape_layer_norm};
}

}  // namespace limbeck::graph
