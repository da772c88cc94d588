#include "limbeck/graph/fused/attention/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <type_traits>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/graph/fused/attention/kernels.h"
#include "limbeck/graph/fused/attention/unbind.h"
#include "limbeck/graph/fused/autocast.h"

namespace limbeck::fused {

namespace {

/// With more keys the library's products are large enough for its own speed.
constexpr int64_t kMaxKeys = 384, kMaxWidth = 256;

template <class Element>
AttentionBackwardKernel<Element> choose_kernel(core::Isa isa) {
#if defined(__x86_64__)
  if (isa >= core::Isa::avx512) return attention_backward_avx512;
  if (isa >= core::Isa::avx2) return attention_backward_avx2;
#endif
  return attention_backward_plain;
}

bool is_own(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
  const auto type = query.scalar_type();
  if (query.dim() != 4 || !query.device().is_cpu() || (type != at::kFloat && type != at::kBFloat16)) return false;
  if (key.scalar_type() != type || value.scalar_type() != type || key.sizes() != value.sizes()) return false;
  if (key.dim() != 4 || key.size(0) != query.size(0) || key.size(1) != query.size(1)) return false;
  return key.size(3) == query.size(3) && key.size(2) <= kMaxKeys && query.size(3) <= kMaxWidth && query.numel() > 0 &&
         key.numel() > 0;
}

at::Tensor with_whole_rows(const at::Tensor& tensor) {
  return tensor.stride(3) == 1 || tensor.size(3) == 1 ? tensor : tensor.contiguous();
}

/// Room for the gradients, [B, H, rows, D] in the order [B, rows, 3, H, D] where that is how query, key and value lie,
/// so that the layer before them takes it as its own output's gradient without a copy.
AttentionGradients make_room(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
  const auto by_rows = [](const at::Tensor& like) {
    return at::empty({like.size(0), like.size(2), like.size(1), like.size(3)}, like.options()).transpose(1, 2);
  };
  if (!neighbours(std::vector<at::Tensor>{query, key, value}))
    return {.query = by_rows(query), .key = by_rows(key), .value = by_rows(value)};
  const std::vector<at::Tensor> parts =
      at::empty({query.size(0), query.size(2), 3, query.size(1), query.size(3)}, query.options())
          .permute({2, 0, 3, 1, 4})
          .unbind(0);
  return {.query = parts[0], .key = parts[1], .value = parts[2]};
}

AttentionSize size_of(const at::Tensor& query, const at::Tensor& key, double scale) {
  return {.queries = query.size(2), .keys = key.size(2), .width = query.size(3), .scale = static_cast<float>(scale)};
}

/// The rows of head `index`, counted over batch and heads.
template <class Element>
HeadRows<Element> head_of(const at::Tensor& tensor, int64_t index) {
  using Plain = std::remove_const_t<Element>;
  Plain* const data = static_cast<Plain*>(tensor.data_ptr());
  const int64_t heads = tensor.size(1);
  return {.data = data + index / heads * tensor.stride(0) + index % heads * tensor.stride(1),
          .pitch = tensor.stride(2)};
}

/// Calls run(head, scratch) for every head; each is one thread's from its begin to its end.
template <class Run>
void for_heads(const at::Tensor& query, const AttentionSize& size, const Run& run) {
  at::parallel_for(0, query.size(0) * query.size(1), 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(static_cast<std::size_t>(attention_scratch(size)));
    for (int64_t head = begin; head < end; ++head) run(head, scratch.data());
  });
}

template <class Element>
AttentionGradients run_backward(const at::Tensor& output_gradient, const at::Tensor& query, const at::Tensor& key,
                                const at::Tensor& value, const AttentionResult& result, double scale, core::Isa isa) {
  const AttentionSize size = size_of(query, key, scale);
  const AttentionBackwardKernel<Element> kernel = choose_kernel<Element>(isa);
  AttentionGradients made = make_room(query, key, value);
  const at::Tensor table = result.log_sums.contiguous();
  const float* const log_sums = table.const_data_ptr<float>();
  for_heads(query, size, [&](int64_t head, float* scratch) {
    kernel(size,
           {.query = head_of<const Element>(query, head),
            .key = head_of<const Element>(key, head),
            .value = head_of<const Element>(value, head),
            .output = head_of<const Element>(result.output, head),
            .output_gradient = head_of<const Element>(output_gradient, head),
            .log_sums = log_sums + head * size.queries,
            .query_gradient = head_of<Element>(made.query, head),
            .key_gradient = head_of<Element>(made.key, head),
            .value_gradient = head_of<Element>(made.value, head)},
           scratch);
  });
  return made;
}

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  static Variable forward(AutogradContext* context, const Variable& query, const Variable& key, const Variable& value,
                          double scale) {
    const auto [output, log_sums] =
        at::_scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, false, {}, scale);
    context->save_for_backward({query, key, value, output, log_sums});
    context->saved_data["scale"] = scale;
    return output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    if (at::GradMode::is_enabled()) {
      fail<Unsupported>("[attention] attention has no gradient of its gradient. Run the model without fusion.");
    }
    const variable_list saved = context->get_saved_variables();
    AttentionGradients made =
        attention_backward(output_gradients[0], saved[0], saved[1], saved[2],
                           {.output = saved[3], .log_sums = saved[4]}, context->saved_data["scale"].toDouble());
    return {made.query, made.key, made.value, Variable()};
  }
};

void check_own(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
  LIMBECK_CHECK(is_own(query, key, value),
                "[attention] query must be [B, H, Q, D], key and value [B, H, K, D], all float32 or all bfloat16 on "
                "the CPU, K at most {} and D at most {}, got {} {}, {} and {}",
                kMaxKeys, kMaxWidth, c10::toString(query.scalar_type()), query.sizes().vec(), key.sizes().vec(),
                value.sizes().vec());
}

}  // namespace

AttentionGradients attention_backward(const at::Tensor& output_gradient, const at::Tensor& query, const at::Tensor& key,
                                      const at::Tensor& value, const AttentionResult& result, double scale,
                                      core::Isa isa) {
  check_own(query, key, value);
  const at::Tensor g = with_whole_rows(output_gradient.to(query.scalar_type()));
  const at::Tensor q = with_whole_rows(query), k = with_whole_rows(key), v = with_whole_rows(value);
  const AttentionResult r{.output = with_whole_rows(result.output), .log_sums = result.log_sums};
  return query.scalar_type() == at::kFloat ? run_backward<float>(g, q, k, v, r, scale, isa)
                                           : run_backward<uint16_t>(g, q, k, v, r, scale, isa);
}

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     std::optional<double> scale) {
  const at::Tensor q = as_autocast(query), k = as_autocast(key), v = as_autocast(value);
  const bool is_vectorised = core::is_isa_enabled(core::Isa::avx2);  // plain loops are there to compare with
  if (!is_vectorised || !is_own(q, k, v))
    return at::scaled_dot_product_attention(query, key, value, {}, 0.0, false, scale);
  return AttentionFunction::apply(q, k, v, scale.value_or(1 / std::sqrt(static_cast<double>(q.size(3)))));
}

}  // namespace limbeck::fused
