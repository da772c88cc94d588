#include "limbeck/core/lanes/plain.h"
#include "limbeck/graph/fused/attention/loops.h"

namespace limbeck::fused {

int64_t attention_scratch(const AttentionSize& size) {
  const int64_t width = padded(size.width), keys = padded(size.keys);
  return 3 * size.keys * width + 2 * size.width * keys + kBlockQueries * (4 * width + 2 * keys);
}

void attention_backward_plain(const AttentionSize& size, const AttentionBackward<float>& head, float* scratch) {
  run_attention_backward<lanes::Plain>(size, head, scratch);
}
void attention_backward_plain(const AttentionSize& size, const AttentionBackward<uint16_t>& head, float* scratch) {
  run_attention_backward<lanes::Plain>(size, head, scratch);
}

}  // namespace limbeck::fused
