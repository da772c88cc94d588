#include "limbeck/core/lanes/avx512.h"
#include "limbeck/graph/fused/channel_norm.h"
#include "limbeck/graph/fused/channel_norm_rows.h"

namespace limbeck::fused {

const ChannelNormKernels kChannelNormAvx512 = kernels_of<lanes::Avx512>();

}  // namespace limbeck::fused
