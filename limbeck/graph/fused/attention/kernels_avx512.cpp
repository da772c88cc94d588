#include "limbeck/core/lanes/avx512.h"
#include "limbeck/graph/fused/attention/loops.h"

namespace limbeck::fused {

void attention_backward_avx512(const AttentionSize& size, const AttentionBackward<float>& head, float* scratch) {
  run_attention_backward<lanes::Avx512>(size, head, scratch);
}
void attention_backward_avx512(const AttentionSize& size, const AttentionBackward<uint16_t>& head, float* scratch) {
  run_attention_backward<lanes::Avx512>(size, head, scratch);
}

}  // namespace limbeck::fused
