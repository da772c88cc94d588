// The loop bounds that the kernels of depthwise_kernels.h are given, made once a call. Apart from them, since what a
// source compiled for an instruction set sees must be plain.
#pragma once

#include <cstdint>
#include <vector>

#include "limbeck/graph/fused/depthwise_kernels.h"

namespace limbeck::fused {

/// DepthwiseTaps of every input along an axis, of sizes in pixels.
std::vector<DepthwiseTaps> taps_of_inputs(int64_t inputs, int64_t outputs, int64_t kernel, int64_t stride,
                                          int64_t padding);

}  // namespace limbeck::fused
