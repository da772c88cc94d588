// The loops of channel_norm.h, written once over lanes V (limbeck/core/lanes). Everything has internal linkage: the
// same inline function compiled for two instruction sets must not be merged.
#pragma once

#include <cstdint>

#include "limbeck/core/lanes/functions.h"
#include "limbeck/graph/fused/channel_norm.h"

namespace limbeck::fused {
namespace {

/// Rows that are summed before their sum joins the range's: keeps the rounding of long sums small.
inline constexpr int64_t kBlockRows = 32;

/// The block that begins at row `begin` of `rows`.
inline RowRange block_from(int64_t begin, RowRange rows) {
  return {begin, begin + kBlockRows < rows.end ? begin + kBlockRows : rows.end};
}

/// Vectors of a tile: enough sums in registers for whole cache lines of a row.
inline constexpr int kTile = 4;

template <class V, Activation A>
inline V activate(V z) {
  const V zero = V::all(0.0F), six = V::all(6.0F);
  if constexpr (A == Activation::relu) return V::select_less(z, zero, zero, z);
  if constexpr (A == Activation::relu6) {
    z = V::select_less(z, zero, zero, z);
    return V::select_less(six, z, six, z);
  }
  if constexpr (A == Activation::silu) return z * lanes::sigmoid(z);
  return z;
}

/// The gradient times the slope of the activation at pre-activation z. For relu and relu6 the output does as well.
template <class V, Activation A>
inline V through_activation(V gradient, V z) {
  const V zero = V::all(0.0F), one = V::all(1.0F);
  if constexpr (A == Activation::relu) return V::select_less(zero, z, gradient, zero);
  if constexpr (A == Activation::relu6) {
    const V passed = V::select_less(zero, z, gradient, zero);
    return V::select_less(z, V::all(6.0F), passed, zero);
  }
  if constexpr (A == Activation::silu) {
    const V s = lanes::sigmoid(z);
    return gradient * (s * (one + z * (one - s)));
  }
  return gradient;
}

/// Calls `run.operator()<N>(first channel)` for tiles of N vectors that cover the channels.
template <class V, class Run>
inline void for_tiles(int64_t channels, const Run& run) {
  int64_t at = 0;
  for (; at + (kTile - 1) * V::kWidth < channels; at += kTile * V::kWidth) run.template operator()<kTile>(at);
  for (; at < channels; at += V::kWidth) run.template operator()<1>(at);
}

template <class V, int N>
struct Tile {
  int64_t offset[N];
  typename V::Mask mask[N];
  Tile(int64_t first, int64_t channels) {
    for (int i = 0; i < N; ++i) {
      offset[i] = first + i * V::kWidth;
      mask[i] = V::mask(channels - offset[i]);
    }
  }
};

template <class V, class T>
void moments_of(const T* input, int64_t channels, RowRange rows, float* sums) {
  for_tiles<V>(channels, [&]<int N>(int64_t first) {
    const Tile<V, N> tile(first, channels);
    V pivot[N], sum[N], squares[N];
    for (int i = 0; i < N; ++i) {
      pivot[i] = V::load(input + rows.begin * channels + tile.offset[i], tile.mask[i]);
      sum[i] = V::all(0.0F);
      squares[i] = V::all(0.0F);
    }
    for (int64_t begin = rows.begin; begin < rows.end; begin += kBlockRows) {
      V block_sum[N], block_squares[N];
      for (int i = 0; i < N; ++i) {
        block_sum[i] = V::all(0.0F);
        block_squares[i] = V::all(0.0F);
      }
      const RowRange block = block_from(begin, rows);
      for (int64_t row = block.begin; row < block.end; ++row) {
        const T* const from = input + row * channels + first;
        for (int i = 0; i < N; ++i) {
          const V distance = V::load(from + i * V::kWidth, tile.mask[i]) - pivot[i];
          block_sum[i] = block_sum[i] + distance;
          block_squares[i] = block_squares[i] + distance * distance;
        }
      }
      for (int i = 0; i < N; ++i) {
        sum[i] = sum[i] + block_sum[i];
        squares[i] = squares[i] + block_squares[i];
      }
    }
    for (int i = 0; i < N; ++i) {
      V::store(sums + tile.offset[i], sum[i], tile.mask[i]);
      V::store(sums + channels + tile.offset[i], squares[i], tile.mask[i]);
      V::store(sums + 2 * channels + tile.offset[i], pivot[i], tile.mask[i]);
    }
  });
}

template <class V, class T, Activation A, bool kHasResidual>
void forward_of(const NormForward& norm, RowRange rows) {
  const int64_t channels = norm.channels;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const T* input = static_cast<const T*>(norm.input) + row * channels;
    const T* residual = kHasResidual ? static_cast<const T*>(norm.residual) + row * channels : nullptr;
    T* output = static_cast<T*>(norm.output) + row * channels;
    for (int64_t c = 0; c < channels; c += V::kWidth) {
      const auto mask = V::mask(channels - c);
      const V centred = V::load(input + c, mask) - V::load(norm.mean + c, mask);
      V z = centred * V::load(norm.scale + c, mask) + V::load(norm.bias + c, mask);
      if constexpr (kHasResidual) z = z + V::load(residual + c, mask);
      V::store(output + c, activate<V, A>(z), mask);
    }
  }
}

template <class V, class T, Activation A, bool kFromOutput>
void reduce_of(const NormReduction& norm, RowRange rows, float* sums) {
  const int64_t channels = norm.channels;
  const T* const grad_output = static_cast<const T*>(norm.grad_output);
  const T* const input = static_cast<const T*>(norm.input);
  const T* const output = static_cast<const T*>(norm.output);
  T* const grad_activated = static_cast<T*>(norm.grad_activated);
  for_tiles<V>(channels, [&]<int N>(int64_t first) {
    const Tile<V, N> tile(first, channels);
    V scale[N], bias[N], mean[N], sum[N], products[N];
    for (int i = 0; i < N; ++i) {
      scale[i] = V::load(norm.scale + tile.offset[i], tile.mask[i]);
      bias[i] = V::load(norm.bias + tile.offset[i], tile.mask[i]);
      mean[i] = V::load(norm.mean + tile.offset[i], tile.mask[i]);
      sum[i] = V::all(0.0F);
      products[i] = V::all(0.0F);
    }
    for (int64_t begin = rows.begin; begin < rows.end; begin += kBlockRows) {
      V block_sum[N], block_products[N];
      for (int i = 0; i < N; ++i) {
        block_sum[i] = V::all(0.0F);
        block_products[i] = V::all(0.0F);
      }
      const RowRange block = block_from(begin, rows);
      for (int64_t row = block.begin; row < block.end; ++row) {
        for (int i = 0; i < N; ++i) {
          const int64_t at = row * channels + tile.offset[i];
          const V centred = V::load(input + at, tile.mask[i]) - mean[i];
          V dz = V::load(grad_output + at, tile.mask[i]);
          if constexpr (kFromOutput) {
            dz = through_activation<V, A>(dz, V::load(output + at, tile.mask[i]));
          } else {
            dz = through_activation<V, A>(dz, centred * scale[i] + bias[i]);
          }
          if (grad_activated != nullptr) V::store(grad_activated + at, dz, tile.mask[i]);
          block_sum[i] = block_sum[i] + dz;
          block_products[i] = block_products[i] + dz * centred;
        }
      }
      for (int i = 0; i < N; ++i) {
        sum[i] = sum[i] + block_sum[i];
        products[i] = products[i] + block_products[i];
      }
    }
    for (int i = 0; i < N; ++i) {
      V::store(sums + tile.offset[i], sum[i], tile.mask[i]);
      V::store(sums + channels + tile.offset[i], products[i], tile.mask[i]);
    }
  });
}

template <class V, class T, Activation A>
void backward_of(const NormBackward& norm, RowRange rows) {
  const int64_t channels = norm.channels;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const T* grad_output = static_cast<const T*>(norm.grad_output) + row * channels;
    const T* input = static_cast<const T*>(norm.input) + row * channels;
    T* grad_input = static_cast<T*>(norm.grad_input) + row * channels;
    for (int64_t c = 0; c < channels; c += V::kWidth) {
      const auto mask = V::mask(channels - c);
      const V centred = V::load(input + c, mask) - V::load(norm.mean + c, mask);
      V dz = V::load(grad_output + c, mask);
      if constexpr (A != Activation::none)
        dz = through_activation<V, A>(dz, centred * V::load(norm.scale + c, mask) + V::load(norm.bias + c, mask));
      dz = dz - V::load(norm.mean_grad + c, mask) - centred * V::load(norm.slope + c, mask);
      V::store(grad_input + c, dz * V::load(norm.scale + c, mask), mask);
    }
  }
}

/// Calls `run.operator()<A>()` for the activation.
template <class Run>
inline void with_activation(Activation activation, const Run& run) {
  switch (activation) {
    case Activation::none:
      return run.template operator()<Activation::none>();
    case Activation::relu:
      return run.template operator()<Activation::relu>();
    case Activation::relu6:
      return run.template operator()<Activation::relu6>();
    case Activation::silu:
      return run.template operator()<Activation::silu>();
  }
}

/// Calls `run` with a null pointer to the type of stored elements.
template <class Run>
inline void with_storage(Storage storage, const Run& run) {
  if (storage == Storage::f32) return run(static_cast<const float*>(nullptr));
  run(static_cast<const uint16_t*>(nullptr));
}

template <class V>
void moments(const void* input, Storage storage, int64_t channels, RowRange rows, float* sums) {
  with_storage(storage, [&]<class T>(const T*) { moments_of<V>(static_cast<const T*>(input), channels, rows, sums); });
}

template <class V>
void forward(const NormForward& norm, RowRange rows) {
  with_storage(norm.storage, [&]<class T>(const T*) {
    with_activation(norm.activation, [&]<Activation A>() {
      if (norm.residual != nullptr) return forward_of<V, T, A, true>(norm, rows);
      forward_of<V, T, A, false>(norm, rows);
    });
  });
}

template <class V>
void reduce(const NormReduction& norm, RowRange rows, float* sums) {
  with_storage(norm.storage, [&]<class T>(const T*) {
    with_activation(norm.activation, [&]<Activation A>() {
      if (norm.output != nullptr) return reduce_of<V, T, A, true>(norm, rows, sums);
      reduce_of<V, T, A, false>(norm, rows, sums);
    });
  });
}

template <class V>
void backward(const NormBackward& norm, RowRange rows) {
  with_storage(norm.storage, [&]<class T>(const T*) {
    with_activation(norm.activation, [&]<Activation A>() { backward_of<V, T, A>(norm, rows); });
  });
}

template <class V>
constexpr ChannelNormKernels kernels_of() {
  return {.moments = moments<V>, .forward = forward<V>, .reduce = reduce<V>, .backward = backward<V>};
}

}  // namespace
}  // namespace limbeck::fused
