#include <immintrin.h>

#include "limbeck/graph/fused/channel_norm.h"
#include "limbeck/graph/fused/channel_norm_rows.h"

namespace limbeck::fused {

namespace {

/// Eight floats.
struct Vector8 {
  static constexpr int64_t kWidth = 8;
  using Mask = __m256i;  // all bits of the lanes that count
  __m256 value;

  static Mask mask(int64_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count < 8 ? count : 8)), lane);
  }
  static int count(Mask mask) { return __builtin_popcount(_mm256_movemask_ps(_mm256_castsi256_ps(mask))); }
  static Vector8 all(float value) { return {_mm256_set1_ps(value)}; }
  static Vector8 load(const float* from, Mask mask) { return {_mm256_maskload_ps(from, mask)}; }
  static Vector8 load(const uint16_t* from, Mask mask) {
    alignas(16) uint16_t part[8] = {};
    const int lanes = count(mask);
    const uint16_t* source = from;
    if (lanes < 8) {
      for (int i = 0; i < lanes; ++i) part[i] = from[i];
      source = part;
    }
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16))};
  }
  static void store(float* to, Vector8 v, Mask mask) { _mm256_maskstore_ps(to, mask, v.value); }
  static void store(uint16_t* to, Vector8 v, Mask mask) {
    const __m256i bits = _mm256_castps_si256(v.value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    rounded = _mm256_srli_epi32(rounded, 16);
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v.value, v.value, _CMP_UNORD_Q));
    rounded = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7FC0), is_nan);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0x08);
    const __m128i halves = _mm256_castsi256_si128(packed);
    const int lanes = count(mask);
    if (lanes == 8) return _mm_storeu_si128(reinterpret_cast<__m128i*>(to), halves);
    alignas(16) uint16_t part[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(part), halves);
    for (int i = 0; i < lanes; ++i) to[i] = part[i];
  }
  static Vector8 select_less(Vector8 a, Vector8 b, Vector8 yes, Vector8 no) {
    return {_mm256_blendv_ps(no.value, yes.value, _mm256_cmp_ps(a.value, b.value, _CMP_LT_OQ))};
  }
  static Vector8 power_of_two(Vector8 rounded) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(rounded.value), 23);
    return {_mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(0x3F800000)))};
  }
  friend Vector8 operator+(Vector8 a, Vector8 b) { return {_mm256_add_ps(a.value, b.value)}; }
  friend Vector8 operator-(Vector8 a, Vector8 b) { return {_mm256_sub_ps(a.value, b.value)}; }
  friend Vector8 operator*(Vector8 a, Vector8 b) { return {_mm256_mul_ps(a.value, b.value)}; }
  friend Vector8 operator/(Vector8 a, Vector8 b) { return {_mm256_div_ps(a.value, b.value)}; }
};

}  // namespace

const ChannelNormKernels kChannelNormAvx2 = kernels_of<Vector8>();

}  // namespace limbeck::fused
