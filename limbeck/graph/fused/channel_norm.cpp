// The plain reference, and the choice among the instruction sets.
#include "limbeck/graph/fused/channel_norm.h"

#include "limbeck/core/cpu.h"
#include "limbeck/core/lanes/plain.h"
#include "limbeck/graph/fused/channel_norm_rows.h"

namespace limbeck::fused {

namespace {

const ChannelNormKernels& best_kernels() {
#if defined(__x86_64__)
  if (core::is_isa_enabled(core::Isa::avx512)) return kChannelNormAvx512;
  if (core::is_isa_enabled(core::Isa::avx2)) return kChannelNormAvx2;
#endif
  return kChannelNormPortable;
}

}  // namespace

const ChannelNormKernels kChannelNormPortable = kernels_of<lanes::Plain>();

const ChannelNormKernels& channel_norm_kernels() {
  static const ChannelNormKernels& kernels = best_kernels();
  return kernels;
}

}  // namespace limbeck::fused
