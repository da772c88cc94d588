// Lanes: vectors of float32 of one instruction set, over which kernels' loops are written once. This one has a single
// lane and is the meaning of the others; avx2.h and avx512.h are for sources that are compiled for these sets.
//
//   kWidth              lanes of a vector
//   Mask, mask(n)       the first n lanes: all where n is kWidth or more, none where it is 0 or less
//   all(x)              x in every lane
//   load(p[, mask])     of float, or of bfloat16 as its 16 bits; lanes beyond the mask are 0
//   store(p, v[, mask]) to bfloat16: to nearest, ties to even; NaN becomes the quiet NaN
//   + - * /             never fused
//   multiply_add        a * b + c, rounded once
//   square_root; larger a > b ? a : b, so b where either is NaN
//   select_less         a < b ? yes : no; no where either is NaN
//   power_of_two(r)     2^n of the integer n in the low bits of a number rounded by adding 1.5 * 2^23
//
// All types have internal linkage: what is made of one instruction set's lanes must not be merged with another's.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace limbeck::lanes {
namespace {

struct Plain {
  static constexpr int64_t kWidth = 1;
  using Mask = bool;
  float value;

  static Mask mask(int64_t count) { return count > 0; }
  static Plain all(float value) { return {value}; }
  static Plain load(const float* from, Mask mask = true) { return {mask ? *from : 0.0F}; }
  static Plain load(const uint16_t* from, Mask mask = true) {
    return {mask ? std::bit_cast<float>(static_cast<uint32_t>(*from) << 16) : 0.0F};
  }
  static void store(float* to, Plain v, Mask mask = true) {
    if (mask) *to = v.value;
  }
  static void store(uint16_t* to, Plain v, Mask mask = true) {
    if (!mask) return;
    const auto bits = std::bit_cast<uint32_t>(v.value);
    *to = v.value != v.value ? 0x7FC0 : static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
  }
  static Plain multiply_add(Plain a, Plain b, Plain c) { return {std::fma(a.value, b.value, c.value)}; }
  static Plain square_root(Plain a) { return {std::sqrt(a.value)}; }
  static Plain larger(Plain a, Plain b) { return a.value > b.value ? a : b; }
  static Plain select_less(Plain a, Plain b, Plain yes, Plain no) { return a.value < b.value ? yes : no; }
  static Plain power_of_two(Plain rounded) {
    return {std::bit_cast<float>((std::bit_cast<uint32_t>(rounded.value) << 23) + 0x3F800000)};
  }
  friend Plain operator+(Plain a, Plain b) { return {a.value + b.value}; }
  friend Plain operator-(Plain a, Plain b) { return {a.value - b.value}; }
  friend Plain operator*(Plain a, Plain b) { return {a.value * b.value}; }
  friend Plain operator/(Plain a, Plain b) { return {a.value / b.value}; }
};

}  // namespace
}  // namespace limbeck::lanes
