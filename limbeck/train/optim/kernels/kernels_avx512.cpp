#if defined(__AVX512F__)
#include "limbeck/core/lanes/avx512.h"
#endif
#include "limbeck/train/optim/kernels/vector_lanes.h"

namespace limbeck::train::kernels {

#if defined(__AVX512F__)

namespace {

struct Avx512Lanes : VectorLanes<lanes::Avx512> {
  struct Wide {
    __m512d low, high;
  };

  static Wide add_square(Wide sum, Value value) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(value.value));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(value.value, 1));
    return {_mm512_add_pd(sum.low, _mm512_mul_pd(low, low)), _mm512_add_pd(sum.high, _mm512_mul_pd(high, high))};
  }
  static void store_wide(double* at, Wide wide) {
    _mm512_storeu_pd(at, wide.low);
    _mm512_storeu_pd(at + 8, wide.high);
  }

  static Value load_split(const uint16_t* top, const uint16_t* rest) {
    return {_mm512_castsi512_ps(_mm512_or_si512(_mm512_slli_epi32(widened(top), 16), widened(rest)))};
  }
  static void store_split(uint16_t* top, uint16_t* rest, Value value) {
    const __m512i bits = _mm512_castps_si512(value.value);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(top), _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(rest), _mm512_cvtepi32_epi16(bits));
  }

 private:
  static __m512i widened(const uint16_t* at) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
  }
};

}  // namespace

UpdateKernels<float, float> avx512_kernels() { return make_update_kernels<Avx512Lanes, float, float>(); }
SplitSgd avx512_split_sgd() { return split_sgd<Avx512Lanes>; }

#else

UpdateKernels<float, float> avx512_kernels() { return portable_float_kernels(); }
SplitSgd avx512_split_sgd() { return portable_split_sgd(); }

#endif

}  // namespace limbeck::train::kernels
