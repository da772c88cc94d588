#include "limbeck/core/lanes/plain.h"
#include "limbeck/graph/fused/depthwise_loops.h"

namespace limbeck::fused {

void depthwise_backward_plain(const DepthwiseGeometry& geometry, const DepthwiseBackward<float>& call) {
  run_depthwise_backward<lanes::Plain, float, 1>(geometry, call);
}
void depthwise_backward_plain(const DepthwiseGeometry& geometry, const DepthwiseBackward<uint16_t>& call) {
  run_depthwise_backward<lanes::Plain, uint16_t, 1>(geometry, call);
}

}  // namespace limbeck::fused
