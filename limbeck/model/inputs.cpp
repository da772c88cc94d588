#include "limbeck/model/inputs.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <fmt/ranges.h>

#include "limbeck/core/error.h"

namespace limbeck {

namespace {

using graph::InputSpec;

std::vector<std::string> tensor_input_names(const graph::Graph& graph) {
  std::vector<std::string> names;
  for (const InputSpec& input : graph.inputs) {
    if (input.type.tensor() != nullptr) names.push_back(input.name);
  }
  return names;
}

/// "the model takes 2 inputs (image, mask)"
std::string signature(const graph::Graph& graph) {
  const std::vector<std::string> names = tensor_input_names(graph);
  return fmt::format("the model takes {} input{} ({})", names.size(), names.size() == 1 ? "" : "s",
                     fmt::join(names, ", "));
}

std::size_t find_by_name(const graph::Graph& graph, const std::string& name) {
  for (std::size_t index = 0; index < graph.inputs.size(); ++index) {
    if (graph.inputs[index].name == name && graph.inputs[index].type.tensor() != nullptr) return index;
  }
  fail<InvalidArgument>("[model] no input '{}': {}.{}", name, signature(graph),
                        nearest_hint(name, tensor_input_names(graph)));
}

/// The next input from `start` on that is a tensor.
std::size_t next_position(const graph::Graph& graph, std::size_t start, std::size_t num_given) {
  std::size_t index = start;
  while (index < graph.inputs.size() && graph.inputs[index].type.tensor() == nullptr) ++index;
  LIMBECK_CHECK(index < graph.inputs.size(), "[model] {}, got {} tensors", signature(graph), num_given);
  return index;
}

bool is_same_device(at::Device a, at::Device b) {
  return a.type() == b.type() && (a.index() == b.index() || !a.has_index() || !b.has_index());
}

/// What another model computed under autocast is taken as it came where float32 is due: autocast's rules decide op by
/// op, as in eager.
bool is_from_autocast(const graph::TensorType& type, const at::Tensor& tensor) {
  const c10::DeviceType device = tensor.device().type();
  return type.dtype == at::kFloat && at::autocast::is_autocast_enabled(device) &&
         tensor.scalar_type() == at::autocast::get_autocast_dtype(device);
}

void check_tensor(const InputSpec& input, const at::Tensor& tensor) {
  const graph::TensorType& type = *input.type.tensor();
  LIMBECK_CHECK(tensor.scalar_type() == type.dtype || is_from_autocast(type, tensor),
                "[model] input '{}' must have elements of type {}, got {} {}", input.name, c10::toString(type.dtype),
                c10::toString(tensor.scalar_type()), fmt::format("[{}]", fmt::join(tensor.sizes(), ", ")));
  LIMBECK_CHECK(is_same_device(tensor.device(), type.device),
                "[model] input '{}' is on {}, the model on {}. Move one of them with to().", input.name,
                tensor.device().str(), type.device.str());
}

}  // namespace

std::vector<at::Tensor> arrange_inputs(const graph::Graph& graph, const Inputs& inputs) {
  std::vector<at::Tensor> arranged(graph.inputs.size());
  std::size_t position = 0;
  for (const NamedTensor& given : inputs.tensors()) {
    const std::size_t index =
        given.name.empty() ? next_position(graph, position, inputs.tensors().size()) : find_by_name(graph, given.name);
    if (given.name.empty()) position = index + 1;
    const std::string& name = graph.inputs[index].name;
    LIMBECK_CHECK(given.tensor.defined(), "[model] input '{}' is an undefined tensor", name);
    LIMBECK_CHECK(!arranged[index].defined(), "[model] input '{}' is given twice", name);
    arranged[index] = given.tensor;
  }
  for (std::size_t index = 0; index < arranged.size(); ++index) {
    const InputSpec& input = graph.inputs[index];
    if (input.type.tensor() == nullptr) continue;
    LIMBECK_CHECK(arranged[index].defined(), "[model] input '{}' is missing: {}", input.name, signature(graph));
    check_tensor(input, arranged[index]);
  }
  return arranged;
}

std::optional<std::vector<int64_t>> sample_sizes(const graph::Graph& graph) {
  for (const InputSpec& input : graph.inputs) {
    const graph::TensorType* type = input.type.tensor();
    if (type == nullptr) continue;
    if (!type->sizes || type->sizes->empty()) return std::nullopt;
    std::vector<int64_t> sizes;
    for (std::size_t axis = 1; axis < type->sizes->size(); ++axis) {
      const std::optional<int64_t> size = (*type->sizes)[axis].constant();
      if (!size) return std::nullopt;
      sizes.push_back(*size);
    }
    return sizes;
  }
  return std::nullopt;
}

}  // namespace limbeck
