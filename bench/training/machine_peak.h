// What the machine can multiply and add at best: bursts of independent FMA (float32) and of dot products of bfloat16
// (AMX tiles or AVX512-BF16) in registers, on all threads at once; the best of many bursts.
#pragma once

#include <ATen/Parallel.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

#include "limbeck/core/cpu.h"

namespace limbeck::bench {

/// One burst on one thread; returns the multiply-adds that it made.
using Burst = int64_t (*)();

#if defined(__x86_64__)

constexpr int kRepeats = 1 << 16, kRegisters = 12;

__attribute__((target("avx512f"))) inline int64_t fma_burst_avx512() {
  __m512 sums[kRegisters] = {};
  __m512 a = _mm512_set1_ps(0.5F), b = _mm512_set1_ps(1.0F);
  for (int i = 0; i < kRepeats; ++i) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 12
    for (__m512& sum : sums) sum = _mm512_fmadd_ps(sum, a, b);
  }
  for (__m512& sum : sums) __asm__ volatile("" : "+v"(sum));
  return int64_t{kRepeats} * kRegisters * 16;
}

__attribute__((target("avx2,fma"))) inline int64_t fma_burst_avx2() {
  __m256 sums[kRegisters] = {};
  __m256 a = _mm256_set1_ps(0.5F), b = _mm256_set1_ps(1.0F);
  for (int i = 0; i < kRepeats; ++i) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 12
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(sum, a, b);
  }
  for (__m256& sum : sums) __asm__ volatile("" : "+x"(sum));
  return int64_t{kRepeats} * kRegisters * 8;
}

__attribute__((target("avx512f,avx512bf16"))) inline int64_t bf16_burst_avx512() {
  __m512 sums[kRegisters] = {};
  __m512i a = _mm512_set1_epi32(0x3F003F00);
  for (int i = 0; i < kRepeats; ++i) {
    __asm__ volatile("" : "+v"(a));
#pragma GCC unroll 12
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(a));
  }
  for (__m512& sum : sums) __asm__ volatile("" : "+v"(sum));
  return int64_t{kRepeats} * kRegisters * 32;
}

/// Eight tiles of 16 rows by 64 bytes; tiles 0 to 3 are summed into.
struct TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

__attribute__((target("amx-tile,amx-bf16"))) inline int64_t bf16_burst_amx() {
  const TileShapes shapes;
  __asm__ volatile("" : : "m"(shapes));  // g++ 12 believes that the instruction reads eight bytes
  _tile_loadconfig(&shapes);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(6);
  for (int i = 0; i < kRepeats; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 6);
    _tile_dpbf16ps(2, 4, 6);
    _tile_dpbf16ps(3, 4, 6);
  }
  _tile_release();
  return int64_t{kRepeats} * 4 * 16 * 16 * 32;
}

#endif

/// Multiply-adds a second on all of ATen's threads, in 1e9; 0 without a burst.
inline double best_rate(Burst burst) {
  if (burst == nullptr) return 0;
  constexpr int kBursts = 30;
  double best = 0;
  for (int i = 0; i < kBursts; ++i) {
    const int threads = at::get_num_threads();
    const auto start = std::chrono::steady_clock::now();
    std::array<int64_t, 256> made{};
    at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t thread = begin; thread < end; ++thread)
        made[static_cast<std::size_t>(thread) % made.size()] = burst();
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, static_cast<double>(made[0]) * threads / seconds / 1e9);
  }
  return best;
}

inline Burst fma_burst() {
#if defined(__x86_64__)
  if (core::is_isa_enabled(core::Isa::avx512)) return fma_burst_avx512;
  if (core::is_isa_enabled(core::Isa::avx2)) return fma_burst_avx2;
#endif
  return nullptr;
}

/// Null where the machine has no products of bfloat16.
inline Burst bf16_burst() {
#if defined(__x86_64__)
  if (core::is_isa_enabled(core::Isa::amx)) return bf16_burst_amx;
  if (core::is_isa_enabled(core::Isa::avx512_bf16)) return bf16_burst_avx512;
#endif
  return nullptr;
}

}  // namespace limbeck::bench
