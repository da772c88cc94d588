#include "limbeck/core/lanes/avx512.h"
#include "limbeck/graph/fused/depthwise_loops.h"

namespace limbeck::fused {

void depthwise_backward_avx512(const DepthwiseGeometry& geometry, const DepthwiseBackward<float>& call) {
  run_depthwise_backward<lanes::Avx512, float, 2>(geometry, call);
}
void depthwise_backward_avx512(const DepthwiseGeometry& geometry, const DepthwiseBackward<uint16_t>& call) {
  run_depthwise_backward<lanes::Avx512, uint16_t, 2>(geometry, call);
}

}  // namespace limbeck::fused
