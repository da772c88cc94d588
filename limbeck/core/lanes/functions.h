// Functions of lanes V (plain.h). Products and sums are not fused, so that every instruction set has the same bits.
#pragma once

namespace limbeck::lanes {
namespace {

/// e^x. x = n ln 2 + r with |r| <= ln 2 / 2, then the Taylor polynomial of degree 7, whose first missing term is below
/// 6e-9 relative. Arguments are held within the range of finite, normal results; NaN stays NaN.
template <class V>
inline V exponential(V x) {
  const V low = V::all(-87.0F), high = V::all(88.0F);
  x = V::select_less(x, low, low, x);
  x = V::select_less(high, x, high, x);
  const V magic = V::all(12582912.0F);  // 1.5 * 2^23: adding it rounds to an integer, which is left in the low bits
  const V rounded = x * V::all(1.44269504F) + magic;
  const V n = rounded - magic;
  const V r = x - n * V::all(0.693359375F) - n * V::all(-2.12194440e-4F);  // ln 2 in two parts
  const float coefficients[] = {1.0F / 720, 1.0F / 120, 1.0F / 24, 1.0F / 6, 0.5F, 1.0F, 1.0F};
  V sum = V::all(1.0F / 5040);
  for (const float coefficient : coefficients) sum = sum * r + V::all(coefficient);
  return sum * V::power_of_two(rounded);
}

template <class V>
inline V sigmoid(V z) {
  const V one = V::all(1.0F);
  return one / (one + exponential(V::all(0.0F) - z));
}

}  // namespace
}  // namespace limbeck::lanes
