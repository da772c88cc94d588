#include "limbeck/graph/passes/batch_proof.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/passes/batch_axis.h"
#include "limbeck/graph/passes/reference_run.h"

namespace limbeck::passes {

using graph::Argument;
using graph::Graph;
using graph::IntExpr;
using graph::Mode;
using graph::Node;
using graph::NodeId;
using graph::TensorType;
using graph::ValueId;

namespace {

constexpr int64_t kBatch = 3;

bool is_batched(const graph::Type& type) {
  const TensorType* tensor = type.tensor();
  return tensor != nullptr && tensor->sizes &&
         std::any_of(tensor->sizes->begin(), tensor->sizes->end(), [](IntExpr size) { return !size.is_constant(); });
}

template <std::size_t N>
bool is_one_of(const Node& node, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), node.op->name) != names.end();
}

// --- what no run can decide ------------------------------------------------------------------------------------------

/// Nodes behind the outputs of `mode`.
std::vector<NodeId> nodes_behind_outputs(const Graph& graph, Mode mode) {
  Graph stateless = graph;
  stateless.state_writes.clear();
  return graph::needed_nodes(stateless, mode, [mode](graph::ScopeId) { return mode; });
}

/// Draws whose distribution does not depend on data: a constant in their place keeps how samples are treated.
bool is_plain_draw(const Node& node) {
  static constexpr std::array<std::string_view, 13> kDraws{
      "aten::rand",         "aten::randn",       "aten::rand_like", "aten::randn_like",        "aten::randint",
      "aten::randint.low",  "aten::bernoulli.p", "aten::uniform",   "aten::normal_functional", "aten::random",
      "aten::randint_like", "aten::random.from", "aten::randperm"};
  return is_one_of(node, kDraws);
}

/// Attention without dropout draws nothing.
bool has_probability_zero(const Node& node) {
  const auto slot = node.op->find_slot("dropout_p");
  return slot && node.arguments[*slot].as_double() == 0.0;
}

/// A node that draws in both modes.
bool is_draw(const Node& node) {
  return node.op->traits.is_random && node.op->traits.mode_arguments.empty() && !has_probability_zero(node);
}

std::string undecidable_draw(const Graph& freed, Mode mode) {
  for (const NodeId id : nodes_behind_outputs(freed, mode)) {
    const Node& node = freed.node(id);
    if (!is_draw(node)) continue;
    const std::string where = fmt::format("{} in '{}'", node.op->name, freed.scope(node.scope).path);
    if (!std::all_of(node.types.begin(), node.types.end(), is_batched))
      return where +
             " draws the same random numbers for all samples of a batch, where the export may mean one draw each";
    if (!is_plain_draw(node)) return where + " draws random numbers by data, so that nothing proves it";
  }
  return "";
}

/// Nodes whose values depend on the batch: on its samples, or on how many there are.
std::set<NodeId> nodes_of_batch(const Graph& graph) {
  static constexpr std::array<std::string_view, 9> kOnlySizes{"aten::zeros_like", "aten::ones_like", "aten::full_like",
                                                              "aten::empty_like", "aten::new_zeros", "aten::new_ones",
                                                              "aten::new_full",   "aten::new_empty", "aten::rand_like"};
  std::set<NodeId> result;
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    bool depends = std::any_of(node.types.begin(), node.types.end(), is_batched);
    for (const Argument& argument : node.arguments) {
      const IntExpr* integer = argument.integer();
      depends = depends || (integer != nullptr && !integer->is_constant());
      if (is_one_of(node, kOnlySizes)) continue;
      graph::for_each_value(argument, [&](ValueId value) { depends = depends || result.count(value.node) != 0; });
    }
    if (depends) result.insert(id);
  }
  return result;
}

/// Losses and statistics: whether they count the samples of the export's batch or of any cannot be told.
std::string undecidable_result(const Graph& freed) {
  const std::set<NodeId> of_batch = nodes_of_batch(freed);
  std::string found;
  for (const graph::Output& output : freed.train_outputs) {
    graph::for_each_value(output.value, [&](ValueId value) {
      if (of_batch.count(value.node) != 0 && !is_batched(freed.type(value)))
        found = fmt::format("the output '{}' of train mode has no axis for the batch", output.name);
    });
  }
  for (const graph::StateWrite& write : freed.state_writes) {
    if (of_batch.count(write.value.node) != 0)
      found = fmt::format("the buffer '{}' takes a value that is made of a whole batch", write.buffer);
  }
  return found.empty() ? "" : found + ", so that nothing proves it at another batch size";
}

// --- what runs decide ------------------------------------------------------------------------------------------------

/// A draw becomes a constant; dropout and the like are off, also where they would stay on in eval mode.
void silence(Graph& graph, NodeId id) {
  if (!is_draw(graph.node(id))) {
    graph.edit(id).pinned_flags = 0;
    return;
  }
  const Node draw = graph.node(id);
  for (uint32_t output = 0; output < draw.types.size(); ++output) {
    const TensorType* type = draw.types[output].tensor();
    if (type == nullptr || !type->sizes) continue;
    const Argument value = c10::isFloatingType(type->dtype) ? Argument(0.5) : Argument(0);
    Node constant{.op = &graph::op_info("aten::full")};
    constant.arguments = graph::complete_arguments(
        *constant.op, {}, {{"size", Argument(*type->sizes)}, {"fill_value", value}, {"dtype", type->dtype}});
    constant.types = {draw.types[output]};
    constant.scope = draw.scope;
    graph.replace_all_uses({id, output}, {graph.insert_before(id, std::move(constant)), 0});
  }
}

/// A graph whose eval mode computes the outputs of `mode` without randomness.
Graph quiet(const Graph& source, Mode mode) {
  Graph graph = source;
  graph.eval_outputs = source.outputs(mode);
  graph.state_writes.clear();
  for (const NodeId id : source.order()) {
    const Node& node = source.node(id);
    if (node.op->is("limbeck::by_mode")) {
      const Argument& chosen = graph.node(id).arguments[mode == Mode::train ? 0 : 1];
      if (chosen.value() != nullptr) graph.replace_all_uses({id, 0}, ValueId(*chosen.value()));
    } else if (node.op->traits.is_random) {
      silence(graph, id);
    }
  }
  return graph;
}

bool is_close(const at::Tensor& a, const at::Tensor& b) {
  constexpr double kTolerance =
      1e-4;  // relative to the largest value: blocked kernels add in another order per batch size
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return false;
  if (a.numel() == 0 || at::equal(a, b)) return true;
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  const double scale = std::max(y.nan_to_num().abs().max().item<double>(), 1e-6);
  return at::allclose(x, y, 0.0, kTolerance * scale, /*equal_nan=*/true);
}

std::vector<at::Tensor> rows(const std::vector<at::Tensor>& inputs, const Graph& graph, int64_t first, int64_t count) {
  std::vector<at::Tensor> result;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const TensorType* type = graph.inputs[i].type.tensor();
    const bool has_rows = !type->sizes->empty() && !type->sizes->front().is_constant();
    result.push_back(has_rows ? inputs[i].narrow(0, first, count).clone() : inputs[i]);
  }
  return result;
}

/// "" when sample `sample` of the batch's output equals the output of its single run.
std::string row_disproof(const at::Tensor& batch, const at::Tensor& one, std::size_t output, int64_t sample) {
  const bool has_rows = batch.dim() > 0 && one.dim() > 0 && one.size(0) > 0 && batch.size(0) == kBatch * one.size(0);
  if (!has_rows && batch.sizes() != one.sizes()) return fmt::format("output {} has no row per sample", output);
  const at::Tensor part = has_rows ? batch.narrow(0, sample * one.size(0), one.size(0)) : batch;
  if (is_close(part, one)) return "";
  return fmt::format("output {} of sample {} depends on the other samples", output, sample);
}

std::string run_disproof(const Graph& fixed, const Graph& freed, int64_t batch) {
  const std::vector<at::Tensor> inputs = random_inputs(freed, {{kFreeBatchSymbol, std::max(kBatch, batch)}}, 20);
  const auto run = [&](const Graph& graph, int64_t first, int64_t count) {
    return reference_run(graph, Mode::eval, rows(inputs, freed, first, count), {{kFreeBatchSymbol, count}});
  };
  const auto old = run(fixed, 0, batch), same = run(freed, 0, batch), three = run(freed, 0, kBatch);
  for (std::size_t i = 0; i < old.size(); ++i) {
    if (!is_close(same[i], old[i])) return fmt::format("output {} is another one at batch size {}", i, batch);
  }
  for (int64_t sample = 0; sample < kBatch; ++sample) {
    const auto one = run(batch == 1 ? fixed : freed, sample, 1);
    for (std::size_t i = 0; i < three.size(); ++i) {
      const std::string why = row_disproof(three[i], one[i], i, sample);
      if (!why.empty()) return why;
    }
  }
  return "";
}

/// Where both modes return the same values by the same nodes, a proof of one is a proof of the other.
bool are_modes_alike(const Graph& graph) {
  const auto is_same = [](const graph::Output& a, const graph::Output& b) { return a.value == b.value; };
  return std::equal(graph.train_outputs.begin(), graph.train_outputs.end(), graph.eval_outputs.begin(),
                    graph.eval_outputs.end(), is_same) &&
         nodes_behind_outputs(graph, Mode::train) == nodes_behind_outputs(graph, Mode::eval);
}

}  // namespace

std::string batch_disproof(const Graph& fixed, const Graph& freed, int64_t batch) {
  std::vector<Mode> modes{Mode::eval};
  if (!are_modes_alike(freed)) modes.push_back(Mode::train);
  for (const Mode mode : modes) {
    const std::string draw = undecidable_draw(freed, mode);
    if (!draw.empty()) return draw;
  }
  for (const Mode mode : modes) {
    const std::string why = run_disproof(quiet(fixed, mode), quiet(freed, mode), batch);
    if (why.empty()) continue;
    return fmt::format("a batch of three is not three single runs{}: {}", mode == Mode::train ? " in train mode" : "",
                       why);
  }
  return undecidable_result(freed);
}

}  // namespace limbeck::passes
