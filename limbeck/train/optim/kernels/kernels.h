// The arithmetic of the update rules over plain arrays: one table of functions for each tier of instruction sets. All
// tiers give the same bits: each element takes the same operations in the same order, fused in the same places, which
// are those of ATen's operators on machines with FMA, and sums of squares are kept in sixteen float64 numbers, element
// i in number i % 16. Plain declarations only, for the sources that are compiled for one instruction set.
#pragma once

#include <cstdint>

namespace limbeck::train::kernels {

/// Elements begin to end, without end.
struct Range {
  int64_t begin = 0, end = 0;
};

/// One parameter's arrays. Which state stands where is said by each kernel.
template <class T>
struct Arrays {
  T* parameter = nullptr;
  const T* gradient = nullptr;
  T* first = nullptr;
  T* second = nullptr;
  T* third = nullptr;
};

/// A float32 parameter as its upper half, which is a bfloat16 (truncated), and its lower 16 bits.
struct SplitArrays {
  uint16_t* top = nullptr;
  uint16_t* rest = nullptr;
  const uint16_t* gradient = nullptr;  // bfloat16
  float* momentum_buffer = nullptr;
};

enum class MomentumUse : uint8_t { none, first, continued };

template <class C>
struct SgdScalars {
  MomentumUse use = MomentumUse::none;
  bool nesterov = false;
  C gradient_scale, weight_decay, momentum, gradient_share, lr;
};

template <class C>
struct AdamScalars {
  bool amsgrad = false;
  C gradient_scale, weight_decay, shrink;  // weight_decay: of L2; shrink: of decoupled decay
  C first_share, second_kept, second_share, second_correction, step_size, eps;
};

template <class C>
struct AdagradScalars {
  C gradient_scale, weight_decay, eps, rate;
};

/// The direction is (first_correction · m) / (√v / second_correction + eps) + weight_decay · p.
template <class C>
struct LambScalars {
  C gradient_scale, weight_decay;
  C first_share, second_kept, second_share, first_correction, second_correction, eps;
  C rate = 0;  // lr times the ratio of norms
};

template <class C>
struct LarsScalars {
  C gradient_scale, weight_decay, momentum, rate;  // rate: lr times the ratio of norms
};

struct SquareSums {
  double parameter = 0, direction = 0;
};

template <class T, class C>
struct UpdateKernels {
  void (*sgd)(Arrays<T>, Range, SgdScalars<C>);                  // first: momentum buffer
  void (*adam)(Arrays<T>, Range, AdamScalars<C>);                // first, second: moments; third: largest second one
  void (*adagrad)(Arrays<T>, Range, AdagradScalars<C>);          // first: sum
  SquareSums (*lamb_moments)(Arrays<T>, Range, LambScalars<C>);  // first, second: moments, which it updates
  void (*lamb_apply)(Arrays<T>, Range, LambScalars<C>);          // reads the moments
  void (*lars)(Arrays<T>, Range, LarsScalars<C>);                // first: momentum buffer
  double (*sum_of_squares)(const T*, Range);
  void (*scale)(T*, Range, C factor);
};

using SplitSgd = void (*)(SplitArrays, Range, SgdScalars<float>);

/// Tables by tier; avx2_* and avx512_* may be called where core::is_isa_enabled says so.
UpdateKernels<float, float> portable_float_kernels();
UpdateKernels<double, double> portable_double_kernels();
UpdateKernels<float, float> avx2_kernels();
UpdateKernels<float, float> avx512_kernels();
SplitSgd portable_split_sgd();
SplitSgd avx2_split_sgd();
SplitSgd avx512_split_sgd();

}  // namespace limbeck::train::kernels
