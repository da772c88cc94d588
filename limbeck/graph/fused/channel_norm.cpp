// The plain reference, and the choice among the instruction sets.
#include "limbeck/graph/fused/channel_norm.h"

#include <bit>

#include "limbeck/core/cpu.h"
#include "limbeck/graph/fused/channel_norm_rows.h"

namespace limbeck::fused {

namespace {

struct Scalar {
  static constexpr int64_t kWidth = 1;
  using Mask = bool;
  float value;

  static Mask mask(int64_t /*count*/) { return true; }
  static Scalar all(float value) { return {value}; }
  static Scalar load(const float* from, Mask) { return {*from}; }
  static Scalar load(const uint16_t* from, Mask) { return {std::bit_cast<float>(uint32_t{*from} << 16)}; }
  static void store(float* to, Scalar v, Mask) { *to = v.value; }
  /// Rounds to nearest, ties to even; NaN becomes the quiet NaN.
  static void store(uint16_t* to, Scalar v, Mask) {
    const auto bits = std::bit_cast<uint32_t>(v.value);
    *to = v.value != v.value ? 0x7FC0 : static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
  }
  static Scalar select_less(Scalar a, Scalar b, Scalar yes, Scalar no) { return a.value < b.value ? yes : no; }
  /// 2^n of the integer n in the low bits of a rounded number.
  static Scalar power_of_two(Scalar rounded) {
    return {std::bit_cast<float>((std::bit_cast<uint32_t>(rounded.value) << 23) + 0x3F800000)};
  }
  friend Scalar operator+(Scalar a, Scalar b) { return {a.value + b.value}; }
  friend Scalar operator-(Scalar a, Scalar b) { return {a.value - b.value}; }
  friend Scalar operator*(Scalar a, Scalar b) { return {a.value * b.value}; }
  friend Scalar operator/(Scalar a, Scalar b) { return {a.value / b.value}; }
};

const ChannelNormKernels& best_kernels() {
#if defined(__x86_64__)
  if (core::is_isa_enabled(core::Isa::avx512)) return kChannelNormAvx512;
  if (core::is_isa_enabled(core::Isa::avx2)) return kChannelNormAvx2;
#endif
  return kChannelNormPortable;
}

}  // namespace

const ChannelNormKernels kChannelNormPortable = kernels_of<Scalar>();

const ChannelNormKernels& channel_norm_kernels() {
  static const ChannelNormKernels& kernels = best_kernels();
  return kernels;
}

}  // namespace limbeck::fused
