// Eight lanes (plain.h says what lanes are), for sources named *_avx2.cpp.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace limbeck::lanes {
namespace {

struct Avx2 {
  static constexpr int64_t kWidth = 8;
  using Mask = int64_t;  // how many lanes: vectors that are not full go through an array
  __m256 value;

  static Mask mask(int64_t count) { return count; }
  static Avx2 all(float value) { return {_mm256_set1_ps(value)}; }
  static Avx2 load(const float* from, Mask count = kWidth) {
    if (count >= kWidth) return {_mm256_loadu_ps(from)};
    float part[kWidth] = {};
    for (int64_t i = 0; i < count; ++i) part[i] = from[i];
    return {_mm256_loadu_ps(part)};
  }
  static Avx2 load(const uint16_t* from, Mask count = kWidth) {
    uint16_t part[kWidth] = {};
    const uint16_t* source = from;
    if (count < kWidth) {
      for (int64_t i = 0; i < count; ++i) part[i] = from[i];
      source = part;
    }
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16))};
  }
  static void store(float* to, Avx2 v, Mask count = kWidth) {
    if (count >= kWidth) return _mm256_storeu_ps(to, v.value);
    float part[kWidth];
    _mm256_storeu_ps(part, v.value);
    for (int64_t i = 0; i < count; ++i) to[i] = part[i];
  }
  static void store(uint16_t* to, Avx2 v, Mask count = kWidth) {
    const __m256i bits = _mm256_castps_si256(v.value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v.value, v.value, _CMP_UNORD_Q));
    const __m256i upper = _mm256_blendv_epi8(_mm256_srli_epi32(rounded, 16), _mm256_set1_epi32(0x7FC0), is_nan);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(upper, upper), 0x08);
    const __m128i words = _mm256_castsi256_si128(packed);
    if (count >= kWidth) return _mm_storeu_si128(reinterpret_cast<__m128i*>(to), words);
    uint16_t part[kWidth];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(part), words);
    for (int64_t i = 0; i < count; ++i) to[i] = part[i];
  }
  static Avx2 multiply_add(Avx2 a, Avx2 b, Avx2 c) { return {_mm256_fmadd_ps(a.value, b.value, c.value)}; }
  static Avx2 square_root(Avx2 a) { return {_mm256_sqrt_ps(a.value)}; }
  static Avx2 larger(Avx2 a, Avx2 b) { return {_mm256_max_ps(a.value, b.value)}; }
  static Avx2 select_less(Avx2 a, Avx2 b, Avx2 yes, Avx2 no) {
    return {_mm256_blendv_ps(no.value, yes.value, _mm256_cmp_ps(a.value, b.value, _CMP_LT_OQ))};
  }
  static Avx2 power_of_two(Avx2 rounded) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(rounded.value), 23);
    return {_mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(0x3F800000)))};
  }
  friend Avx2 operator+(Avx2 a, Avx2 b) { return {_mm256_add_ps(a.value, b.value)}; }
  friend Avx2 operator-(Avx2 a, Avx2 b) { return {_mm256_sub_ps(a.value, b.value)}; }
  friend Avx2 operator*(Avx2 a, Avx2 b) { return {_mm256_mul_ps(a.value, b.value)}; }
  friend Avx2 operator/(Avx2 a, Avx2 b) { return {_mm256_div_ps(a.value, b.value)}; }
};

}  // namespace
}  // namespace limbeck::lanes
