#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "limbeck/core/error.h"
#include "limbeck/model/model.h"

namespace limbeck {

namespace {

const at::Tensor& find(const std::vector<NamedTensor>& tensors, std::string_view name, const char* kind) {
  std::vector<std::string> names;
  for (const NamedTensor& entry : tensors) {
    if (entry.name == name) return entry.tensor;
    names.push_back(entry.name);
  }
  fail<InvalidArgument>("[model] no {} '{}'. There {}: {}.", kind, name, names.size() == 1 ? "is" : "are",
                        names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")));
}

}  // namespace

const at::Tensor& Outputs::logits() const {
  LIMBECK_CHECK(!tensors.empty(), "[model] the model has no outputs");
  const NamedTensor* matrix = nullptr;
  for (const NamedTensor& output : tensors) {
    if (output.name == "logits") return output.tensor;
    const bool is_matrix = output.tensor.defined() && output.tensor.is_floating_point() && output.tensor.dim() == 2;
    if (is_matrix && matrix == nullptr) matrix = &output;
  }
  return matrix == nullptr ? tensors.front().tensor : matrix->tensor;
}

const at::Tensor& Outputs::operator[](std::string_view name) const { return find(tensors, name, "output"); }

const at::Tensor& Outputs::tap(std::string_view name) const { return find(taps, name, "tap"); }

}  // namespace limbeck
