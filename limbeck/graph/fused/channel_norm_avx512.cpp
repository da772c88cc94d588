#include <immintrin.h>

#include "limbeck/graph/fused/channel_norm.h"
#include "limbeck/graph/fused/channel_norm_rows.h"

namespace limbeck::fused {

namespace {

/// Sixteen floats.
struct Vector16 {
  static constexpr int64_t kWidth = 16;
  using Mask = __mmask16;
  __m512 value;

  static Mask mask(int64_t count) { return static_cast<Mask>(count >= 16 ? 0xFFFF : (1 << count) - 1); }
  static Vector16 all(float value) { return {_mm512_set1_ps(value)}; }
  static Vector16 load(const float* from, Mask mask) { return {_mm512_maskz_loadu_ps(mask, from)}; }
  static Vector16 load(const uint16_t* from, Mask mask) {
    const __m512i bits = _mm512_maskz_cvtepu16_epi32(mask, _mm256_maskz_loadu_epi16(mask, from));
    return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(mask, bits, 16))};
  }
  static void store(float* to, Vector16 v, Mask mask) { _mm512_mask_storeu_ps(to, mask, v.value); }
  static void store(uint16_t* to, Vector16 v, Mask mask) {
    const __m512i bits = _mm512_castps_si512(v.value);
    const __m512i odd = _mm512_and_si512(_mm512_maskz_srli_epi32(0xFFFF, bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    rounded = _mm512_maskz_srli_epi32(0xFFFF, rounded, 16);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(v.value, v.value, _CMP_UNORD_Q);
    rounded = _mm512_mask_mov_epi32(rounded, is_nan, _mm512_set1_epi32(0x7FC0));
    _mm512_mask_cvtepi32_storeu_epi16(to, mask, rounded);
  }
  static Vector16 select_less(Vector16 a, Vector16 b, Vector16 yes, Vector16 no) {
    return {_mm512_mask_mov_ps(no.value, _mm512_cmp_ps_mask(a.value, b.value, _CMP_LT_OQ), yes.value)};
  }
  static Vector16 power_of_two(Vector16 rounded) {
    const __m512i exponent = _mm512_maskz_slli_epi32(0xFFFF, _mm512_castps_si512(rounded.value), 23);
    return {_mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(0x3F800000)))};
  }
  friend Vector16 operator+(Vector16 a, Vector16 b) { return {_mm512_add_ps(a.value, b.value)}; }
  friend Vector16 operator-(Vector16 a, Vector16 b) { return {_mm512_sub_ps(a.value, b.value)}; }
  friend Vector16 operator*(Vector16 a, Vector16 b) { return {_mm512_mul_ps(a.value, b.value)}; }
  friend Vector16 operator/(Vector16 a, Vector16 b) { return {_mm512_div_ps(a.value, b.value)}; }
};

}  // namespace

const ChannelNormKernels kChannelNormAvx512 = kernels_of<Vector16>();

}  // namespace limbeck::fused
