// The gradients of attention of one head on raw memory, one kernel per instruction set beside a plain reference. Why
// own ones: in bfloat16 the library's backward takes six times what float32 takes, at the lengths of image models; and
// own ones put the gradients where the layer before wants them.
#pragma once

#include <cstdint>

namespace limbeck::fused {

/// Rows of one head, `pitch` elements apart, each contiguous.
template <class Element>
struct HeadRows {
  Element* data = nullptr;
  int64_t pitch = 0;
};

///   output = softmax(scale * query key^T) value       log_sums[i] = log of the sum over keys of e^product
struct AttentionSize {
  int64_t queries = 0, keys = 0;  // rows
  int64_t width = 0;              // of query, key and value rows
  float scale = 1;                // of the products of queries and keys
};

/// Elements are float or bfloat16 as its 16 bits; all arithmetic is in float32.
template <class Element>
struct AttentionBackward {
  HeadRows<const Element> query, key, value, output, output_gradient;
  const float* log_sums = nullptr;  // [queries]
  HeadRows<Element> query_gradient, key_gradient, value_gradient;
};

/// Floats of scratch memory that the kernels of any tier need.
int64_t attention_scratch(const AttentionSize& size);

template <class Element>
using AttentionBackwardKernel = void (*)(const AttentionSize& size, const AttentionBackward<Element>& head,
                                         float* scratch);

void attention_backward_plain(const AttentionSize& size, const AttentionBackward<float>& head, float* scratch);
void attention_backward_plain(const AttentionSize& size, const AttentionBackward<uint16_t>& head, float* scratch);
void attention_backward_avx2(const AttentionSize& size, const AttentionBackward<float>& head, float* scratch);
void attention_backward_avx2(const AttentionSize& size, const AttentionBackward<uint16_t>& head, float* scratch);
void attention_backward_avx512(const AttentionSize& size, const AttentionBackward<float>& head, float* scratch);
void attention_backward_avx512(const AttentionSize& size, const AttentionBackward<uint16_t>& head, float* scratch);

}  // namespace limbeck::fused
