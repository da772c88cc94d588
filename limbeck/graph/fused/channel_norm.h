// Batch normalisation with an activation (and an addition) over rows of channels: raw-pointer kernels, one set per
// instruction set, all with the same bits.
//
//   output = activation((input - mean) * scale + bias [+ residual])     input, residual, output: [rows, channels]
//
// A channels_last tensor [N, C, H, W] is rows = N * H * W of C channels. Each channel is summed over the rows of a
// range one after another, so neither the width of a vector nor the number of threads changes a bit. All arithmetic is
// in float32; bfloat16 is only how rows are stored. Products and sums are never fused.
#pragma once

#include <cstdint>

namespace limbeck::fused {

enum class Storage : uint8_t { f32, bf16 };                   // of rows; bf16 as its 16 bits
enum class Activation : uint8_t { none, relu, relu6, silu };  // silu: z * sigmoid(z)

struct NormForward {
  const void* input = nullptr;
  const void* residual = nullptr;  // null: nothing is added
  void* output = nullptr;
  const float* mean = nullptr;  // [channels], as all that follow
  const float* scale = nullptr;
  const float* bias = nullptr;
  int64_t channels = 0;
  Storage storage = Storage::f32;
  Activation activation = Activation::none;
};

/// What the gradient of the activation is told from: the pre-activation is computed again from the input, or, where a
/// residual was added (relu and relu6), the output tells.
struct NormReduction {
  const void* grad_output = nullptr;
  const void* input = nullptr;
  const void* output = nullptr;    // null: from the input
  void* grad_activated = nullptr;  // takes the gradient before the activation; null: not stored
  const float* mean = nullptr;
  const float* scale = nullptr;
  const float* bias = nullptr;
  int64_t channels = 0;
  Storage storage = Storage::f32;
  Activation activation = Activation::none;
};

///   grad_input = (dz - mean_grad - (input - mean) * slope) * scale       dz = grad_output * activation'(z)
struct NormBackward {
  const void* grad_output = nullptr;
  const void* input = nullptr;
  void* grad_input = nullptr;
  const float* mean = nullptr;
  const float* scale = nullptr;
  const float* bias = nullptr;
  const float* mean_grad = nullptr;
  const float* slope = nullptr;
  int64_t channels = 0;
  Storage storage = Storage::f32;
  Activation activation = Activation::none;
};

struct RowRange {
  int64_t begin = 0, end = 0;
};

/// The kernels of one instruction set.
struct ChannelNormKernels {
  /// Sums over the range, of distances from its first row: sums[0..C) of x - x0, sums[C..2C) of (x - x0)^2. The first
  /// row as float32 goes to sums[2C..3C). Distances keep the variance of channels far from zero.
  void (*moments)(const void* input, Storage storage, int64_t channels, RowRange rows, float* sums);
  void (*forward)(const NormForward& norm, RowRange rows);
  /// Sums over the range: sums[0..C) of dz, sums[C..2C) of dz * (x - mean).
  void (*reduce)(const NormReduction& norm, RowRange rows, float* sums);
  void (*backward)(const NormBackward& norm, RowRange rows);
};

extern const ChannelNormKernels kChannelNormPortable;
extern const ChannelNormKernels kChannelNormAvx2;    // of the tier avx2
extern const ChannelNormKernels kChannelNormAvx512;  // of the tier avx512

/// The best set that this process may run (limbeck/core/cpu.h).
const ChannelNormKernels& channel_norm_kernels();

}  // namespace limbeck::fused
