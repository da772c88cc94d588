#include <immintrin.h>

#include "limbeck/graph/fused/depthwise_loops.h"

namespace limbeck::fused {

namespace {

struct Avx512 {
  using Vector = __m512;
  using Mask = __mmask16;
  static constexpr int kWidth = 16;

  static Mask first(int64_t count) { return count >= kWidth ? Mask{0xffff} : static_cast<Mask>((1u << count) - 1); }
  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* from, Mask mask) { return _mm512_maskz_loadu_ps(mask, from); }
  static Vector load(const uint16_t* from, Mask mask) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static void store(float* to, Mask mask, Vector value) { _mm512_mask_storeu_ps(to, mask, value); }
  /// To nearest, ties to even; NaN stays one.
  static void store(uint16_t* to, Mask mask, Vector value) {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const __m512i upper = _mm512_mask_mov_epi32(_mm512_srli_epi32(rounded, 16), is_nan, _mm512_set1_epi32(0x7fc0));
    _mm256_mask_storeu_epi16(to, mask, _mm512_cvtepi32_epi16(upper));
  }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
};

}  // namespace

void depthwise_backward_avx512(const DepthwiseGeometry& geometry, const DepthwiseBackward<float>& call) {
  run_depthwise_backward<Avx512, float, 2>(geometry, call);
}
void depthwise_backward_avx512(const DepthwiseGeometry& geometry, const DepthwiseBackward<uint16_t>& call) {
  run_depthwise_backward<Avx512, uint16_t, 2>(geometry, call);
}

}  // namespace limbeck::fused
