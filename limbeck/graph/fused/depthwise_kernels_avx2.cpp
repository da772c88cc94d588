#include "limbeck/core/lanes/avx2.h"
#include "limbeck/graph/fused/depthwise_loops.h"

namespace limbeck::fused {

void depthwise_backward_avx2(const DepthwiseGeometry& geometry, const DepthwiseBackward<float>& call) {
  run_depthwise_backward<lanes::Avx2, float, 2>(geometry, call);
}
void depthwise_backward_avx2(const DepthwiseGeometry& geometry, const DepthwiseBackward<uint16_t>& call) {
  run_depthwise_backward<lanes::Avx2, uint16_t, 2>(geometry, call);
}

}  // namespace limbeck::fused
