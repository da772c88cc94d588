#include "tests/graph/capture/golden.h"

#include <ATen/ATen.h>

#include "limbeck/core/files/safetensors.h"
#include "limbeck/graph/passes/reference_run.h"
#include "limbeck/graph/weights/tensors.h"

namespace limbeck::testing {

std::string golden_file(const std::string& name) {
  return std::string(LIMBECK_SOURCE_DIR) + "/tests/graph/capture/data/" + name;
}

std::vector<at::Tensor> golden_tensors(const std::string& name, const std::string& prefix) {
  const auto file = core::SafetensorsFile::open(golden_file(name + ".safetensors"));
  std::vector<at::Tensor> result;
  for (int i = 0;; ++i) {
    const core::StoredTensor* stored = file.find(prefix + std::to_string(i));
    if (stored == nullptr) return result;
    result.push_back(weights::tensor_of(*stored, file.mapping()).clone());  // kernels may round by alignment
  }
}

std::vector<at::Tensor> run_golden(const graph::Graph& graph, const std::string& name) {
  const std::vector<at::Tensor> inputs = golden_tensors(name, "input/");
  return passes::reference_run(graph, graph::Mode::eval, inputs, {{"B", inputs.at(0).size(0)}});
}

std::size_t count_op(const graph::Graph& graph, std::string_view op) {
  std::size_t count = 0;
  for (const graph::NodeId id : graph.order()) count += graph.node(id).op->is(op) ? 1 : 0;
  return count;
}

}  // namespace limbeck::testing
