#if defined(__AVX2__)
#include "limbeck/core/lanes/avx2.h"
#endif
#include "limbeck/train/optim/kernels/vector_lanes.h"

namespace limbeck::train::kernels {

#if defined(__AVX2__)

namespace {

struct Avx2Lanes : VectorLanes<lanes::Avx2> {
  struct Wide {
    __m256d low, high;
  };

  static Wide add_square(Wide sum, Value value) {
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(value.value));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(value.value, 1));
    return {_mm256_add_pd(sum.low, _mm256_mul_pd(low, low)), _mm256_add_pd(sum.high, _mm256_mul_pd(high, high))};
  }
  static void store_wide(double* at, Wide wide) {
    _mm256_storeu_pd(at, wide.low);
    _mm256_storeu_pd(at + 4, wide.high);
  }

  static Value load_split(const uint16_t* top, const uint16_t* rest) {
    return {_mm256_castsi256_ps(_mm256_or_si256(_mm256_slli_epi32(widened(top), 16), widened(rest)))};
  }
  static void store_split(uint16_t* top, uint16_t* rest, Value value) {
    const __m256i bits = _mm256_castps_si256(value.value);
    store_low_halves(top, _mm256_srli_epi32(bits, 16));
    store_low_halves(rest, _mm256_and_si256(bits, _mm256_set1_epi32(0xFFFF)));
  }

 private:
  static __m256i widened(const uint16_t* at) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
  }
  static void store_low_halves(uint16_t* at, __m256i words) {
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(words, words), 0b1000);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm256_castsi256_si128(packed));
  }
};

}  // namespace

UpdateKernels<float, float> avx2_kernels() { return make_update_kernels<Avx2Lanes, float, float>(); }
SplitSgd avx2_split_sgd() { return split_sgd<Avx2Lanes>; }

#else

UpdateKernels<float, float> avx2_kernels() { return portable_float_kernels(); }
SplitSgd avx2_split_sgd() { return portable_split_sgd(); }

#endif

}  // namespace limbeck::train::kernels
