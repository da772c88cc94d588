// Internal to limbeck/zoo: the residual blocks of He et al. 2015 that several architectures share.
#pragma once

#include "limbeck/zoo/layers.h"

namespace limbeck::zoo {

/// conv3x3(stride) - bn - relu - conv3x3 - bn, plus the shortcut, relu; in scope `name`. Where the shape changes the
/// shortcut is conv1x1(stride) - bn, called "downsample.0" and "downsample.1".
ValueId basic_block(Layers& layers, std::string_view name, ValueId x, int64_t width, int64_t stride);

/// conv1x1 - bn - relu - conv3x3(stride) - bn - relu - conv1x1 - bn, plus the shortcut, relu: 4·width channels out.
ValueId bottleneck(Layers& layers, std::string_view name, ValueId x, int64_t width, int64_t stride);

/// Stages "layer1", "layer2", ... of `blocks[i]` blocks with `widths[i]`; the first block of every stage but the first
/// has stride 2.
using Block = ValueId (*)(Layers&, std::string_view, ValueId, int64_t, int64_t);
ValueId residual_stages(Layers& layers, ValueId x, const std::vector<int64_t>& blocks,
                        const std::vector<int64_t>& widths, Block block);

}  // namespace limbeck::zoo
