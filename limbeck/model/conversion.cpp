#include "limbeck/model/conversion.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "limbeck/core/error.h"

namespace limbeck {

namespace {

using graph::Argument;
using graph::ArgumentList;
using graph::Graph;
using graph::Parameter;
using graph::TensorType;

using Convert = std::function<at::Tensor(const at::Tensor&)>;

/// Gives names of tensors their converted data.
class TensorConverter {
 public:
  TensorConverter(Graph& graph, Convert convert) : graph_(graph), convert_(std::move(convert)) {
    std::map<const void*, std::set<const void*>> views;
    for (const Parameter& parameter : graph.parameters())
      views[storage_of(parameter.tensor)].insert(parameter.tensor.unsafeGetTensorImpl());
    for (const auto& [storage, tensors] : views) {
      if (tensors.size() > 1) shared_.insert(storage);
    }
  }

  void run() {
    const at::NoGradGuard no_grad;
    const std::vector<Parameter> parameters = graph_.parameters();
    for (const Parameter& parameter : parameters) {
      at::Tensor& made = made_[parameter.tensor.unsafeGetTensorImpl()];
      if (!made.defined()) made = exchange(parameter.tensor);
      if (!made.is_same(parameter.tensor)) graph_.set_parameter_tensor(parameter.name, made);
    }
  }

 private:
  static const void* storage_of(const at::Tensor& tensor) { return tensor.storage().unsafeGetStorageImpl(); }

  /// Different views of one storage are converted together, so that they stay views of one storage.
  at::Tensor converted(const at::Tensor& tensor) {
    if (!shared_.contains(storage_of(tensor))) return convert_(tensor.detach());
    at::Tensor& base = bases_[storage_of(tensor)];
    if (!base.defined()) {
      const auto num_elements = static_cast<int64_t>(tensor.storage().nbytes() / tensor.itemsize());
      base = convert_(tensor.detach().as_strided({num_elements}, {1}, 0));
    }
    return base.as_strided(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  }

  /// `tensor` itself with other data, or a new leaf where ATen can't exchange the data of that kind.
  at::Tensor exchange(at::Tensor tensor) {
    const at::Tensor data = converted(tensor);
    if (data.is_alias_of(tensor)) return tensor;  // nothing to convert
    const at::Tensor gradient = tensor.grad().defined() ? convert_(tensor.grad().detach()) : at::Tensor();
    if (!at::_has_compatible_shallow_copy_type(tensor, data)) {
      return data.detach().set_requires_grad(tensor.requires_grad());
    }
    tensor.mutable_grad().reset();
    tensor.set_data(data);
    if (gradient.defined()) tensor.mutable_grad() = gradient;
    return tensor;
  }

  Graph& graph_;
  Convert convert_;
  std::set<const void*> shared_;                    // storages with several views, of the tensors as they came
  std::map<const void*, at::Tensor> made_, bases_;  // by TensorImpl, by storage
};

/// Applies `change` to every type in the graph; `constant` to every constant argument. Both tell whether they changed
/// something, so that untouched nodes stay shared with other copies of the graph.
struct Rename {
  std::function<bool(TensorType&)> change;
  std::function<bool(Argument&)> constant;
};

bool rename_type(graph::Type& type, const Rename& rename) {
  if (TensorType* tensor = type.tensor()) return rename.change(*tensor);
  auto* list = std::get_if<graph::ListType>(&type.kind);
  if (list == nullptr) return false;
  bool changed = false;
  for (graph::Type& element : list->elements) changed |= rename_type(element, rename);
  return changed;
}

bool rename_argument(Argument& argument, const Rename& rename) {
  auto* list = std::get_if<ArgumentList>(&argument.kind);
  if (list == nullptr) return rename.constant(argument);
  bool changed = false;
  for (Argument& element : *list) changed |= rename_argument(element, rename);
  return changed;
}

void rename_all(Graph& graph, const Rename& rename) {
  for (graph::InputSpec& input : graph.inputs) rename_type(input.type, rename);
  for (const graph::NodeId id : graph.order()) {
    graph::Node node = graph.node(id);
    bool changed = false;
    for (graph::Type& type : node.types) changed |= rename_type(type, rename);
    for (Argument& argument : node.arguments) changed |= rename_argument(argument, rename);
    if (changed) graph.edit(id) = std::move(node);
  }
}

/// The floating-point types that the graph is written in: those of its parameters, else of its inputs.
std::set<at::ScalarType> floating_types(const Graph& graph) {
  std::set<at::ScalarType> types;
  for (const Parameter& parameter : graph.parameters()) {
    if (parameter.tensor.is_floating_point()) types.insert(parameter.tensor.scalar_type());
  }
  if (!types.empty()) return types;
  for (const graph::InputSpec& input : graph.inputs) {
    const TensorType* type = input.type.tensor();
    if (type != nullptr && at::isFloatingType(type->dtype)) types.insert(type->dtype);
  }
  return types;
}

}  // namespace

void convert_device(Graph& graph, at::Device device) {
  TensorConverter(graph, [device](const at::Tensor& tensor) { return tensor.to(device); }).run();
  rename_all(graph, {.change =
                         [device](TensorType& type) {
                           const bool changed = type.device != device;
                           type.device = device;
                           return changed;
                         },
                     .constant =
                         [device](Argument& argument) {
                           auto* constant = std::get_if<at::Device>(&argument.kind);
                           if (constant == nullptr || *constant == device) return false;
                           *constant = device;
                           return true;
                         }});
}

void convert_dtype(Graph& graph, at::ScalarType dtype) {
  LIMBECK_CHECK(at::isFloatingType(dtype), "[model] to() takes a floating-point type, got {}", c10::toString(dtype));
  const std::set<at::ScalarType> from = floating_types(graph);
  TensorConverter(graph, [dtype](const at::Tensor& tensor) {
    return tensor.is_floating_point() ? tensor.to(dtype) : tensor;
  }).run();
  const auto rename = [&](at::ScalarType& type) {
    if (type == dtype || !from.contains(type)) return false;
    type = dtype;
    return true;
  };
  rename_all(graph, {.change = [&](TensorType& type) { return rename(type.dtype); },
                     .constant =
                         [&](Argument& argument) {
                           auto* constant = std::get_if<at::ScalarType>(&argument.kind);
                           return constant != nullptr && rename(*constant);
                         }});
}

void convert_memory_format(Graph& graph, at::MemoryFormat format) {
  const int64_t rank = format == at::MemoryFormat::ChannelsLast     ? 4
                       : format == at::MemoryFormat::ChannelsLast3d ? 5
                                                                    : -1;
  LIMBECK_CHECK(rank > 0 || format == at::MemoryFormat::Contiguous,
                "[model] to() takes contiguous, channels_last or channels_last_3d");
  TensorConverter(graph, [&](const at::Tensor& tensor) {
    return rank < 0 || tensor.dim() == rank ? tensor.contiguous(format) : tensor;
  }).run();
}

}  // namespace limbeck
