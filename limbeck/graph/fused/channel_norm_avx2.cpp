#include "limbeck/core/lanes/avx2.h"
#include "limbeck/graph/fused/channel_norm.h"
#include "limbeck/graph/fused/channel_norm_rows.h"

namespace limbeck::fused {

const ChannelNormKernels kChannelNormAvx2 = kernels_of<lanes::Avx2>();

}  // namespace limbeck::fused
