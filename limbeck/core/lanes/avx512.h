// Sixteen lanes (plain.h says what lanes are), for sources named *_avx512.cpp.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace limbeck::lanes {
namespace {

struct Avx512 {
  static constexpr int64_t kWidth = 16;
  using Mask = __mmask16;
  __m512 value;

  static Mask mask(int64_t count) {
    return static_cast<Mask>(count >= 16 ? 0xFFFF : count <= 0 ? 0 : (1 << count) - 1);
  }
  static Avx512 all(float value) { return {_mm512_set1_ps(value)}; }
  static Avx512 load(const float* from, Mask mask) { return {_mm512_maskz_loadu_ps(mask, from)}; }
  static Avx512 load(const float* from) { return {_mm512_loadu_ps(from)}; }
  static Avx512 load(const uint16_t* from, Mask mask = 0xFFFF) {
    const __m512i bits = _mm512_maskz_cvtepu16_epi32(mask, _mm256_maskz_loadu_epi16(mask, from));
    return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(mask, bits, 16))};
  }
  static void store(float* to, Avx512 v, Mask mask) { _mm512_mask_storeu_ps(to, mask, v.value); }
  static void store(float* to, Avx512 v) { _mm512_storeu_ps(to, v.value); }
  static void store(uint16_t* to, Avx512 v, Mask mask = 0xFFFF) {
    const __m512i bits = _mm512_castps_si512(v.value);
    const __m512i odd = _mm512_and_si512(_mm512_maskz_srli_epi32(0xFFFF, bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    rounded = _mm512_maskz_srli_epi32(0xFFFF, rounded, 16);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(v.value, v.value, _CMP_UNORD_Q);
    rounded = _mm512_mask_mov_epi32(rounded, is_nan, _mm512_set1_epi32(0x7FC0));
    _mm512_mask_cvtepi32_storeu_epi16(to, mask, rounded);
  }
  static Avx512 multiply_add(Avx512 a, Avx512 b, Avx512 c) { return {_mm512_fmadd_ps(a.value, b.value, c.value)}; }
  static Avx512 square_root(Avx512 a) { return {_mm512_sqrt_ps(a.value)}; }
  static Avx512 larger(Avx512 a, Avx512 b) { return {_mm512_max_ps(a.value, b.value)}; }
  static Avx512 select_less(Avx512 a, Avx512 b, Avx512 yes, Avx512 no) {
    return {_mm512_mask_mov_ps(no.value, _mm512_cmp_ps_mask(a.value, b.value, _CMP_LT_OQ), yes.value)};
  }
  static Avx512 power_of_two(Avx512 rounded) {
    const __m512i exponent = _mm512_maskz_slli_epi32(0xFFFF, _mm512_castps_si512(rounded.value), 23);
    return {_mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(0x3F800000)))};
  }
  friend Avx512 operator+(Avx512 a, Avx512 b) { return {_mm512_add_ps(a.value, b.value)}; }
  friend Avx512 operator-(Avx512 a, Avx512 b) { return {_mm512_sub_ps(a.value, b.value)}; }
  friend Avx512 operator*(Avx512 a, Avx512 b) { return {_mm512_mul_ps(a.value, b.value)}; }
  friend Avx512 operator/(Avx512 a, Avx512 b) { return {_mm512_div_ps(a.value, b.value)}; }
};

}  // namespace
}  // namespace limbeck::lanes
