#include "limbeck/graph/parameter_layout.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace limbeck::graph {

namespace {

/// A parameter's memory, which is [begin, begin + num_bytes).
struct Extent {
  std::size_t parameter = 0;
  const char* begin = nullptr;
  int64_t num_bytes = 0;
};

auto view_key(const at::Tensor& tensor) {
  return std::tuple(tensor.storage().unsafeGetStorageImpl(), tensor.storage_offset(), tensor.sizes().vec(),
                    tensor.strides().vec(), tensor.scalar_type(), tensor.requires_grad());
}

void tie_equal_views(const Graph& graph, ParameterLayout& layout) {
  std::map<const void*, std::size_t> by_identity;
  std::map<decltype(view_key(at::Tensor())), std::size_t> by_view;
  for (std::size_t i = 0; i < layout.places.size(); ++i) {
    const at::Tensor& tensor = graph.parameters()[i].tensor;
    const auto [same, is_new] = by_identity.try_emplace(tensor.unsafeGetTensorImpl(), i);
    if (!is_new) {
      layout.places[i].tied_to = same->second;
    } else if (tensor.has_storage() && tensor.numel() > 0) {
      const auto [equal, is_new_view] = by_view.try_emplace(view_key(tensor), i);
      if (!is_new_view) layout.places[i].tied_to = equal->second;
    }
  }
}

/// One run of overlapping extents becomes a block when it holds more than one.
void add_block(ParameterLayout& layout, const std::vector<Extent>& run, int64_t num_bytes) {
  if (run.size() < 2) return;
  for (const Extent& extent : run) {
    layout.places[extent.parameter].block = layout.blocks.size();
    layout.places[extent.parameter].offset_bytes = extent.begin - run.front().begin;
  }
  layout.blocks.push_back({.begin = run.front().begin, .num_bytes = num_bytes});
}

void group_overlapping(std::vector<Extent> extents, ParameterLayout& layout) {
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::tuple(a.begin, a.parameter) < std::tuple(b.begin, b.parameter);
  });
  std::vector<Extent> run;
  int64_t run_bytes = 0;
  for (const Extent& extent : extents) {
    if (!run.empty() && extent.begin >= run.front().begin + run_bytes) {
      add_block(layout, run, run_bytes);
      run.clear();
    }
    run_bytes = std::max(run.empty() ? 0 : run_bytes,
                         extent.begin - (run.empty() ? extent.begin : run.front().begin) + extent.num_bytes);
    run.push_back(extent);
  }
  add_block(layout, run, run_bytes);
}

}  // namespace

std::optional<int64_t> extent_bytes(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                                    int64_t element_bytes) {
  int64_t last = 0;
  bool is_empty = false;
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    if (sizes[axis] < 0 || strides[axis] < 0) return std::nullopt;
    is_empty |= sizes[axis] == 0;
    int64_t span = 0;
    if (__builtin_mul_overflow(std::max<int64_t>(sizes[axis] - 1, 0), strides[axis], &span) ||
        __builtin_add_overflow(last, span, &last)) {
      return std::nullopt;
    }
  }
  int64_t bytes = 0;
  if (last == INT64_MAX || __builtin_mul_overflow(last + 1, element_bytes, &bytes)) return std::nullopt;
  return is_empty ? 0 : bytes;
}

std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> strides(sizes.size());
  int64_t next = 1;
  for (std::size_t axis = sizes.size(); axis-- > 0;) {
    strides[axis] = next;
    if (__builtin_mul_overflow(next, std::max<int64_t>(sizes[axis], 1), &next)) next = INT64_MAX;
  }
  return strides;
}

ParameterLayout layout_of_parameters(const Graph& graph) {
  ParameterLayout layout;
  layout.places.resize(graph.parameters().size());
  tie_equal_views(graph, layout);
  std::map<const void*, std::vector<Extent>> by_storage;
  for (std::size_t i = 0; i < layout.places.size(); ++i) {
    const at::Tensor& tensor = graph.parameters()[i].tensor;
    if (layout.places[i].tied_to || !tensor.has_storage() || tensor.numel() == 0) continue;
    const auto bytes = extent_bytes(tensor.sizes().vec(), tensor.strides().vec(), tensor.element_size());
    by_storage[tensor.storage().unsafeGetStorageImpl()].push_back(
        {.parameter = i, .begin = static_cast<const char*>(tensor.const_data_ptr()), .num_bytes = bytes.value_or(0)});
  }
  for (auto& [storage, extents] : by_storage) group_overlapping(std::move(extents), layout);
  return layout;
}

}  // namespace limbeck::graph
