// The update rules' loops, written once over a type of lanes. Included only by the sources that instantiate them, each
// with lanes of its own unnamed namespace, so that nothing compiled for one instruction set is seen by another source.
//
// Lanes have: Element (as stored), Value (kCount elements as computed on), Wide (kCount float64 numbers), Single (lanes
// of one element with the same arithmetic); load, store, set, add, subtract, multiply, divide, fma, root, larger,
// add_square, store_wide; for bfloat16 halves load_top, load_split, store_split.
#pragma once

#include <cstdint>
#include <cstring>

#include "limbeck/train/optim/kernels/kernels.h"

namespace limbeck::train::kernels {

namespace {  // one copy in each source, on purpose

inline float square_root(float value) { return __builtin_sqrtf(value); }
inline double square_root(double value) { return __builtin_sqrt(value); }
inline float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }

/// Lanes of one element: the plain reference, and the ends of arrays in all tiers.
template <class T, class C>
struct SingleLane {
  using Element = T;
  using Value = C;
  using Wide = double;
  using Single = SingleLane;
  static constexpr int kCount = 1;
  static Value load(const T* at) { return static_cast<C>(*at); }
  static void store(T* at, Value value) { *at = static_cast<T>(value); }
  static Value set(C value) { return value; }
  static Value add(Value a, Value b) { return a + b; }
  static Value subtract(Value a, Value b) { return a - b; }
  static Value multiply(Value a, Value b) { return a * b; }
  static Value divide(Value a, Value b) { return a / b; }
  static Value fma(Value a, Value b, Value c) { return fused(a, b, c); }
  static Value root(Value a) { return square_root(a); }
  static Value larger(Value a, Value b) { return a > b ? a : b; }  // b where either is NaN, as x86 has it
  static Wide add_square(Wide sum, Value value) {
    return sum + static_cast<double>(value) * static_cast<double>(value);
  }
  static void store_wide(double* at, Wide wide) { *at = wide; }
  static Value load_split(const uint16_t* top, const uint16_t* rest) {
    return float_of(static_cast<uint32_t>(*top) << 16 | *rest);
  }
  static Value load_top(const uint16_t* top) { return float_of(static_cast<uint32_t>(*top) << 16); }
  static void store_split(uint16_t* top, uint16_t* rest, Value value) {
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    *top = static_cast<uint16_t>(bits >> 16);
    *rest = static_cast<uint16_t>(bits);
  }

 private:
  static Value float_of(uint32_t bits) {
    float value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
};

/// Calls body<Lanes>(i) for whole vectors and body<Single>(i) for what is left.
template <class L, class Body>
inline void sweep(Range range, const Body& body) {
  int64_t i = range.begin;
  for (; i + L::kCount <= range.end; i += L::kCount) body.template operator()<L>(i);
  for (; i < range.end; ++i) body.template operator()<typename L::Single>(i);
}

/// Sixteen float64 sums of squares; the element at distance d from the range's begin goes to sum d % 16.
template <class L>
class LaneSums {
 public:
  void add(int vector, typename L::Value value) { sums_[vector] = L::add_square(sums_[vector], value); }

  void store(double* sums) const {
    for (int i = 0; i < kVectors; ++i) L::store_wide(sums + i * L::kCount, sums_[i]);
  }

  static constexpr int kSums = 16;
  static constexpr int kVectors = kSums / L::kCount;

 private:
  typename L::Wide sums_[kVectors] = {};
};

/// Calls body<Lanes>(i, add), where add(slot, value) adds the value's square to that sum of a set.
template <class L, class Body>
inline void sweep_with_sums(Range range, double (*sums)[16], const Body& body) {
  constexpr int kBlock = 16, kSets = Body::kSets;
  LaneSums<L> vectors[kSets];
  int64_t i = range.begin;
  for (; i + kBlock <= range.end; i += kBlock) {
    for (int vector = 0; vector < LaneSums<L>::kVectors; ++vector) {
      typename L::Value values[kSets];
      body.template visit<L>(i + vector * L::kCount, values);
      for (int set = 0; set < kSets; ++set) vectors[set].add(vector, values[set]);
    }
  }
  for (int set = 0; set < kSets; ++set) vectors[set].store(sums[set]);
  for (int lane = 0; i < range.end; ++i, ++lane) {
    typename L::Single::Value values[kSets];
    body.template visit<typename L::Single>(i, values);
    for (int set = 0; set < kSets; ++set) sums[set][lane] = L::Single::add_square(sums[set][lane], values[set]);
  }
}

inline double sum_of(const double (&sums)[16]) {
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

/// gradient_scale · g + weight_decay · p
template <class L, class S>
inline typename L::Value decayed(typename L::Value gradient, typename L::Value parameter, const S& s) {
  return L::fma(parameter, L::set(s.weight_decay), L::multiply(gradient, L::set(s.gradient_scale)));
}

/// kept · old + share · value
template <class L, class C>
inline typename L::Value blend(typename L::Value old, C kept, typename L::Value value, C share) {
  return L::fma(value, L::set(share), L::multiply(old, L::set(kept)));
}

/// The parameter after a step against `direction`.
template <class L, class C>
inline typename L::Value moved(typename L::Value parameter, typename L::Value direction, C rate) {
  return L::fma(direction, L::set(-rate), parameter);
}

/// The parameter after a step against numerator / denominator.
template <class L, class C>
inline typename L::Value moved_by_quotient(typename L::Value parameter, typename L::Value numerator,
                                           typename L::Value denominator, C rate) {
  return L::add(parameter, L::divide(L::multiply(numerator, L::set(-rate)), denominator));
}

/// SGD's direction from the decayed gradient; updates the buffer at `buffer`.
template <class L, MomentumUse kUse, class T, class C>
inline typename L::Value sgd_direction(typename L::Value gradient, T* buffer, const SgdScalars<C>& s) {
  if constexpr (kUse == MomentumUse::none) return gradient;
  auto momentum = gradient;
  if constexpr (kUse == MomentumUse::continued) {
    momentum = blend<L>(L::load(buffer), s.momentum, gradient, s.gradient_share);
  }
  L::store(buffer, momentum);
  return s.nesterov ? L::fma(momentum, L::set(s.momentum), gradient) : momentum;
}

template <class L, MomentumUse kUse, class T, class C>
void sgd_loop(Arrays<T> a, Range range, SgdScalars<C> s) {
  sweep<L>(range, [=]<class V>(int64_t i) {
    const auto parameter = V::load(a.parameter + i);
    const auto gradient = decayed<V>(V::load(a.gradient + i), parameter, s);
    V::store(a.parameter + i, moved<V>(parameter, sgd_direction<V, kUse>(gradient, a.first + i, s), s.lr));
  });
}

template <class L, class T, class C>
void sgd(Arrays<T> a, Range range, SgdScalars<C> s) {
  if (s.use == MomentumUse::none) return sgd_loop<L, MomentumUse::none>(a, range, s);
  if (s.use == MomentumUse::first) return sgd_loop<L, MomentumUse::first>(a, range, s);
  sgd_loop<L, MomentumUse::continued>(a, range, s);
}

template <class L, MomentumUse kUse>
void split_sgd_loop(SplitArrays a, Range range, SgdScalars<float> s) {
  sweep<L>(range, [=]<class V>(int64_t i) {
    const auto parameter = V::load_split(a.top + i, a.rest + i);
    const auto gradient = decayed<V>(V::load_top(a.gradient + i), parameter, s);
    const auto direction = sgd_direction<V, kUse>(gradient, a.momentum_buffer + i, s);
    V::store_split(a.top + i, a.rest + i, moved<V>(parameter, direction, s.lr));
  });
}

template <class L>
void split_sgd(SplitArrays a, Range range, SgdScalars<float> s) {
  if (s.use == MomentumUse::none) return split_sgd_loop<L, MomentumUse::none>(a, range, s);
  if (s.use == MomentumUse::first) return split_sgd_loop<L, MomentumUse::first>(a, range, s);
  split_sgd_loop<L, MomentumUse::continued>(a, range, s);
}

/// m + share · (g - m)
template <class L, class C>
inline typename L::Value towards(typename L::Value old, typename L::Value value, C share) {
  return L::fma(L::subtract(value, old), L::set(share), old);
}

/// second_kept · v + second_share · g²
template <class L, class S>
inline typename L::Value second_moment(typename L::Value old, typename L::Value gradient, const S& s) {
  return L::fma(L::multiply(gradient, L::set(s.second_share)), gradient, L::multiply(old, L::set(s.second_kept)));
}

/// √v / second_correction + eps
template <class L, class S>
inline typename L::Value divisor(typename L::Value second, const S& s) {
  return L::add(L::divide(L::root(second), L::set(s.second_correction)), L::set(s.eps));
}

template <class L, bool kAmsgrad, class T, class C>
void adam_loop(Arrays<T> a, Range range, AdamScalars<C> s) {
  sweep<L>(range, [=]<class V>(int64_t i) {
    const auto parameter = V::load(a.parameter + i);
    const auto gradient = decayed<V>(V::load(a.gradient + i), parameter, s);
    const auto first = towards<V>(V::load(a.first + i), gradient, s.first_share);
    auto second = second_moment<V>(V::load(a.second + i), gradient, s);
    V::store(a.first + i, first);
    V::store(a.second + i, second);
    if constexpr (kAmsgrad) {
      second = V::larger(V::load(a.third + i), second);
      V::store(a.third + i, second);
    }
    const auto shrunk = V::multiply(parameter, V::set(s.shrink));
    V::store(a.parameter + i, moved_by_quotient<V>(shrunk, first, divisor<V>(second, s), s.step_size));
  });
}

template <class L, class T, class C>
void adam(Arrays<T> a, Range range, AdamScalars<C> s) {
  s.amsgrad ? adam_loop<L, true>(a, range, s) : adam_loop<L, false>(a, range, s);
}

template <class L, class T, class C>
void adagrad(Arrays<T> a, Range range, AdagradScalars<C> s) {
  sweep<L>(range, [=]<class V>(int64_t i) {
    const auto parameter = V::load(a.parameter + i);
    const auto gradient = decayed<V>(V::load(a.gradient + i), parameter, s);
    const auto sum = V::fma(gradient, gradient, V::load(a.first + i));
    V::store(a.first + i, sum);
    const auto denominator = V::add(V::root(sum), V::set(s.eps));
    V::store(a.parameter + i, moved_by_quotient<V>(parameter, gradient, denominator, s.rate));
  });
}

template <class L, class C>
inline typename L::Value lamb_direction(typename L::Value parameter, typename L::Value first, typename L::Value second,
                                        const LambScalars<C>& s) {
  const auto adam_step = L::divide(L::multiply(first, L::set(s.first_correction)), divisor<L>(second, s));
  return L::fma(parameter, L::set(s.weight_decay), adam_step);
}

/// Updates the moments and gives what the two norms are made of.
template <class T, class C>
struct LambMoments {
  static constexpr int kSets = 2;
  Arrays<T> a;
  LambScalars<C> s;

  template <class V>
  void visit(int64_t i, typename V::Value* squared) const {
    const auto gradient = V::multiply(V::load(a.gradient + i), V::set(s.gradient_scale));
    const auto first = towards<V>(V::load(a.first + i), gradient, s.first_share);
    const auto second = second_moment<V>(V::load(a.second + i), gradient, s);
    V::store(a.first + i, first);
    V::store(a.second + i, second);
    squared[0] = V::load(a.parameter + i);
    squared[1] = lamb_direction<V>(squared[0], first, second, s);
  }
};

template <class L, class T, class C>
SquareSums lamb_moments(Arrays<T> a, Range range, LambScalars<C> s) {
  double sums[2][16];
  sweep_with_sums<L>(range, sums, LambMoments<T, C>{a, s});
  return {.parameter = sum_of(sums[0]), .direction = sum_of(sums[1])};
}

template <class L, class T, class C>
void lamb_apply(Arrays<T> a, Range range, LambScalars<C> s) {
  sweep<L>(range, [=]<class V>(int64_t i) {
    const auto parameter = V::load(a.parameter + i);
    const auto direction = lamb_direction<V>(parameter, V::load(a.first + i), V::load(a.second + i), s);
    V::store(a.parameter + i, moved<V>(parameter, direction, s.rate));
  });
}

template <class L, class T, class C>
void lars(Arrays<T> a, Range range, LarsScalars<C> s) {
  sweep<L>(range, [=]<class V>(int64_t i) {
    const auto parameter = V::load(a.parameter + i);
    const auto gradient = decayed<V>(V::load(a.gradient + i), parameter, s);
    const auto momentum = blend<V>(V::load(a.first + i), s.momentum, gradient, s.rate);
    V::store(a.first + i, momentum);
    V::store(a.parameter + i, V::subtract(parameter, momentum));
  });
}

template <class T>
struct PlainValues {
  static constexpr int kSets = 1;
  const T* values;

  template <class V>
  void visit(int64_t i, typename V::Value* squared) const {
    squared[0] = V::load(values + i);
  }
};

template <class L, class T>
double sum_of_squares(const T* values, Range range) {
  double sums[1][16];
  sweep_with_sums<L>(range, sums, PlainValues<T>{values});
  return sum_of(sums[0]);
}

template <class L, class T, class C>
void scale(T* values, Range range, C factor) {
  sweep<L>(range, [=]<class V>(int64_t i) { V::store(values + i, V::multiply(V::load(values + i), V::set(factor))); });
}

template <class L, class T, class C>
UpdateKernels<T, C> make_update_kernels() {
  return {.sgd = sgd<L, T, C>,
          .adam = adam<L, T, C>,
          .adagrad = adagrad<L, T, C>,
          .lamb_moments = lamb_moments<L, T, C>,
          .lamb_apply = lamb_apply<L, T, C>,
          .lars = lars<L, T, C>,
          .sum_of_squares = sum_of_squares<L, T>,
          .scale = scale<L, T, C>};
}

}  // namespace

}  // namespace limbeck::train::kernels
