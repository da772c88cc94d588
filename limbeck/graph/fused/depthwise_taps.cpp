#include "limbeck/graph/fused/depthwise_taps.h"

#include <cstddef>

namespace limbeck::fused {

std::vector<DepthwiseTaps> taps_of_inputs(int64_t inputs, int64_t outputs, int64_t kernel, int64_t stride,
                                          int64_t padding) {
  std::vector<DepthwiseTaps> all;
  all.reserve(static_cast<std::size_t>(inputs));
  for (int64_t input = 0; input < inputs; ++input) {
    DepthwiseTaps taps;
    for (int64_t tap = (input + padding) % stride; tap < kernel; tap += stride) {
      const int64_t output = (input + padding - tap) / stride;
      if (input + padding < tap || output >= outputs) continue;
      if (taps.count++ == 0) {
        taps.first_output = static_cast<int32_t>(output);
        taps.first_tap = static_cast<int32_t>(tap);
      }
    }
    all.push_back(taps);
  }
  return all;
}

}  // namespace limbeck::fused
