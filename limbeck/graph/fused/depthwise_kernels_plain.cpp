#include <bit>
#include <cmath>

#include "limbeck/graph/fused/depthwise_loops.h"

namespace limbeck::fused {

namespace {

/// One channel at a time; the meaning of the others.
struct Scalar {
  using Vector = float;
  using Mask = bool;
  static constexpr int kWidth = 1;

  static Mask first(int64_t count) { return count > 0; }
  static Vector zero() { return 0; }
  static Vector load(const float* from, Mask) { return *from; }
  static Vector load(const uint16_t* from, Mask) { return std::bit_cast<float>(static_cast<uint32_t>(*from) << 16); }
  static void store(float* to, Mask, Vector value) { *to = value; }
  /// To nearest, ties to even; NaN stays one.
  static void store(uint16_t* to, Mask, Vector value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    *to = std::isnan(value) ? uint16_t{0x7fc0} : static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return std::fma(a, b, c); }
};

}  // namespace

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

void depthwise_backward_plain(const DepthwiseGeometry& geometry, const DepthwiseBackward<float>& call) {
  run_depthwise_backward<Scalar, float, 1>(geometry, call);
}
void depthwise_backward_plain(const DepthwiseGeometry& geometry, const DepthwiseBackward<uint16_t>& call) {
  run_depthwise_backward<Scalar, uint16_t, 1>(geometry, call);
}

}  // namespace limbeck::fused
