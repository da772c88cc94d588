#include <immintrin.h>

#include "limbeck/graph/fused/depthwise_loops.h"

namespace limbeck::fused {

namespace {

/// Masks are counts here: vectors that are not full go through an array.
struct Avx2 {
  using Vector = __m256;
  using Mask = int64_t;
  static constexpr int kWidth = 8;

  static Mask first(int64_t count) { return count; }
  static Vector zero() { return _mm256_setzero_ps(); }
  static Vector load(const float* from, Mask count) {
    if (count >= kWidth) return _mm256_loadu_ps(from);
    float part[kWidth] = {};
    for (int64_t i = 0; i < count; ++i) part[i] = from[i];
    return _mm256_loadu_ps(part);
  }
  static Vector load(const uint16_t* from, Mask count) {
    uint16_t part[kWidth] = {};
    const uint16_t* source = from;
    if (count < kWidth) {
      for (int64_t i = 0; i < count; ++i) part[i] = from[i];
      source = part;
    }
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static void store(float* to, Mask count, Vector value) {
    if (count >= kWidth) return _mm256_storeu_ps(to, value);
    float part[kWidth];
    _mm256_storeu_ps(part, value);
    for (int64_t i = 0; i < count; ++i) to[i] = part[i];
  }
  /// To nearest, ties to even; NaN stays one.
  static void store(uint16_t* to, Mask count, Vector value) {
    const __m256i bits = _mm256_castps_si256(value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    const __m256i upper = _mm256_blendv_epi8(_mm256_srli_epi32(rounded, 16), _mm256_set1_epi32(0x7fc0), is_nan);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(upper, upper), 0x08);
    const __m128i words = _mm256_castsi256_si128(packed);
    if (count >= kWidth) return _mm_storeu_si128(reinterpret_cast<__m128i*>(to), words);
    uint16_t part[kWidth];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(part), words);
    for (int64_t i = 0; i < count; ++i) to[i] = part[i];
  }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
};

}  // namespace

void depthwise_backward_avx2(const DepthwiseGeometry& geometry, const DepthwiseBackward<float>& call) {
  run_depthwise_backward<Avx2, float, 2>(geometry, call);
}
void depthwise_backward_avx2(const DepthwiseGeometry& geometry, const DepthwiseBackward<uint16_t>& call) {
  run_depthwise_backward<Avx2, uint16_t, 2>(geometry, call);
}

}  // namespace limbeck::fused
