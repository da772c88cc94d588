// Lanes of the update rules' loops (kernel_bodies.h) that are vectors of limbeck/core/lanes: what is the same for all
// instruction sets.
#pragma once

#include <cstdint>

#include "limbeck/train/optim/kernels/kernel_bodies.h"

namespace limbeck::train::kernels {

namespace {

/// V: lanes::Avx2 or lanes::Avx512. What is missing here depends on the set: Wide, splitting to halves.
template <class V>
struct VectorLanes {
  using Element = float;
  using Value = V;
  using Single = SingleLane<float, float>;
  static constexpr int kCount = static_cast<int>(V::kWidth);

  static Value load(const float* at) { return V::load(at); }
  static void store(float* at, Value value) { V::store(at, value); }
  static Value set(float value) { return V::all(value); }
  static Value add(Value a, Value b) { return a + b; }
  static Value subtract(Value a, Value b) { return a - b; }
  static Value multiply(Value a, Value b) { return a * b; }
  static Value divide(Value a, Value b) { return a / b; }
  static Value fma(Value a, Value b, Value c) { return V::multiply_add(a, b, c); }
  static Value root(Value a) { return V::square_root(a); }
  static Value larger(Value a, Value b) { return V::larger(a, b); }
  static Value load_top(const uint16_t* top) { return V::load(top); }
};

}  // namespace

}  // namespace limbeck::train::kernels
