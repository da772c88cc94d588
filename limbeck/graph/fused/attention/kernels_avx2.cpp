#include "limbeck/core/lanes/avx2.h"
#include "limbeck/graph/fused/attention/loops.h"

namespace limbeck::fused {

void attention_backward_avx2(const AttentionSize& size, const AttentionBackward<float>& head, float* scratch) {
  run_attention_backward<lanes::Avx2>(size, head, scratch);
}
void attention_backward_avx2(const AttentionSize& size, const AttentionBackward<uint16_t>& head, float* scratch) {
  run_attention_backward<lanes::Avx2>(size, head, scratch);
}

}  // namespace limbeck::fused
