#include <algorithm>

#include "limbeck/core/error.h"
#include "limbeck/graph/capture/decomposed/decomposed.h"

namespace limbeck::capture {

using graph::Argument;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

namespace {

class Pass {
 public:
  explicit Pass(Export& source) : raise_(source), graph_(source.graph) {}

  void run() {
    for (const NodeId id : std::vector<NodeId>(graph_.order())) {
      const std::string& op = graph_.node(id).op->name;
      if (op == "aten::convolution") {
        convolution(id);
      } else if (op == "aten::_native_batch_norm_legit_functional") {
        batch_norm_in_train(id);
      } else if (op == "aten::_native_batch_norm_legit_no_training") {
        batch_norm(id, false, argument(id, "momentum"), {argument(id, "running_mean"), argument(id, "running_var")});
      } else if (op == "aten::_native_batch_norm_legit.no_stats") {
        batch_norm(id, true, argument(id, "momentum"), {Argument(), Argument()});
      } else if (op == "aten::native_layer_norm") {
        layer_norm(id);
      } else if (op == "aten::native_group_norm") {
        group_norm(id);
      } else if (op == "aten::_softmax" || op == "aten::_log_softmax") {
        softmax(id, op == "aten::_softmax" ? "aten::softmax.int" : "aten::log_softmax.int");
      } else if (op == "aten::copy") {
        copy(id);
      }
    }
  }

 private:
  Argument argument(NodeId id, std::string_view name) const {
    const Node& node = graph_.node(id);
    return node.arguments[node.op->slot(name)];
  }

  /// Only the first output has users.
  bool has_only_first(NodeId id) const {
    for (uint32_t output = 1; output < graph_.node(id).types.size(); ++output) {
      if (!graph_.users({id, output}).empty() || graph_.is_exported({id, output})) return false;
    }
    return true;
  }

  void convolution(NodeId id) {
    const ValueId* weight = graph_.node(id).arguments[1].value();
    const graph::Sizes* sizes = weight == nullptr ? nullptr : raise_.sizes(*weight);
    if (sizes == nullptr || sizes->size() < 3 || sizes->size() > 5) return;
    static constexpr const char* kConvolutions[] = {"aten::conv1d", "aten::conv2d", "aten::conv3d"};
    static constexpr const char* kTransposed[] = {"aten::conv_transpose1d", "aten::conv_transpose2d.input",
                                                  "aten::conv_transpose3d.input"};
    const bool is_transposed = argument(id, "transposed").as_bool() == true;
    std::vector<std::pair<std::string, Argument>> arguments;
    for (const char* name : {"input", "weight", "bias", "stride", "padding", "dilation", "groups"})
      arguments.emplace_back(name, argument(id, name));
    if (is_transposed) arguments.emplace_back("output_padding", argument(id, "output_padding"));
    raise_.replace(id, {id, 0}, (is_transposed ? kTransposed : kConvolutions)[sizes->size() - 3], arguments);
  }

  /// The new running statistics are outputs 3 and 4, written to the buffers that are arguments 3 and 4: batch_norm does
  /// both itself.
  void batch_norm_in_train(NodeId id) {
    const ValueId mean{id, 3}, variance{id, 4};
    const Argument old_mean = argument(id, "running_mean"), old_variance = argument(id, "running_var");
    if (!writes_back(mean, old_mean) || !writes_back(variance, old_variance)) return;
    const auto all_writes = graph_.state_writes;
    std::erase_if(graph_.state_writes, [&](const graph::StateWrite& write) {
      return is_write(write, mean, old_mean) || is_write(write, variance, old_variance);
    });
    if (!has_only_first(id)) {  // a statistic goes elsewhere too
      graph_.state_writes = all_writes;
      return;
    }
    batch_norm(id, true, argument(id, "momentum"), {old_mean, old_variance});
  }

  bool writes_back(ValueId value, const Argument& buffer) const {
    return std::any_of(graph_.state_writes.begin(), graph_.state_writes.end(),
                       [&](const graph::StateWrite& write) { return is_write(write, value, buffer); });
  }

  bool is_write(const graph::StateWrite& write, ValueId value, const Argument& buffer) const {
    const graph::Parameter* parameter = buffer.value() == nullptr ? nullptr : graph_.as_parameter(*buffer.value());
    return parameter != nullptr && write.value == value && write.buffer == parameter->name;
  }

  void batch_norm(NodeId id, bool training, const Argument& momentum, const std::pair<Argument, Argument>& statistics) {
    if (graph_.node(id).types.size() < 5 && !has_only_first(id)) return;
    raise_.replace(id, {id, 0}, "aten::batch_norm",
                   {{"input", argument(id, "input")},
                    {"weight", argument(id, "weight")},
                    {"bias", argument(id, "bias")},
                    {"running_mean", statistics.first},
                    {"running_var", statistics.second},
                    {"training", training},
                    {"momentum", momentum},
                    {"eps", argument(id, "eps")},
                    {"cudnn_enabled", false}});
  }

  void layer_norm(NodeId id) {
    if (!has_only_first(id)) return;
    raise_.replace(id, {id, 0}, "aten::layer_norm",
                   {{"input", argument(id, "input")},
                    {"normalized_shape", argument(id, "normalized_shape")},
                    {"weight", argument(id, "weight")},
                    {"bias", argument(id, "bias")},
                    {"eps", argument(id, "eps")},
                    {"cudnn_enable", false}});
  }

  void group_norm(NodeId id) {
    if (!has_only_first(id)) return;
    raise_.replace(id, {id, 0}, "aten::group_norm",
                   {{"input", argument(id, "input")},
                    {"num_groups", argument(id, "group")},
                    {"weight", argument(id, "weight")},
                    {"bias", argument(id, "bias")},
                    {"eps", argument(id, "eps")},
                    {"cudnn_enabled", false}});
  }

  void softmax(NodeId id, const char* op) {
    if (argument(id, "half_to_float").as_bool() != false) return;
    raise_.replace(id, {id, 0}, op, {{"self", argument(id, "self")}, {"dim", argument(id, "dim")}});
  }

  /// copy(old, new) is new in old's dtype and sizes; aten::copy has no derivative.
  void copy(NodeId id) {
    const auto source = raise_.operand({id, 0}, 1);
    const graph::Sizes* wanted = raise_.sizes({id, 0});
    if (!source || wanted == nullptr || raise_.sizes(*source) == nullptr) return;
    const graph::TensorType &from = *graph_.type(*source).tensor(), &to = *graph_.type({id, 0}).tensor();
    if (from.dtype != to.dtype && from.sizes != to.sizes) return;
    if (from.dtype != to.dtype)
      return raise_.replace(id, {id, 0}, "aten::to.dtype", {{"self", *source}, {"dtype", to.dtype}});
    raise_.replace(id, {id, 0}, "aten::expand", {{"self", *source}, {"size", Argument(*wanted)}});
  }

  Raiser raise_;
  graph::Graph& graph_;
};

}  // namespace

void raise_convolutions_and_norms(Export& source) {
  Pass(source).run();
  graph::eliminate_dead_nodes(source.graph);
}

}  // namespace limbeck::capture
