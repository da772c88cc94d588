#include "limbeck/zoo/residual.h"

#include <string>

namespace limbeck::zoo {

namespace {

ValueId shortcut(Layers& layers, ValueId x, int64_t out, int64_t stride) {
  if (stride == 1 && layers.channels(x) == out) return x;
  const auto scope = layers.builder().enter("downsample", "torch.nn.modules.container.Sequential");
  return layers.batch_norm("1", layers.conv("0", x, {.out = out, .kernel = 1, .stride = stride}));
}

}  // namespace

ValueId basic_block(Layers& layers, std::string_view name, ValueId x, int64_t width, int64_t stride) {
  const auto scope = layers.builder().enter(name, "torchvision.models.resnet.BasicBlock");
  ValueId out = layers.conv("conv1", x, {.out = width, .kernel = 3, .stride = stride, .padding = 1});
  out = layers.relu("relu", layers.batch_norm("bn1", out));
  out = layers.batch_norm("bn2", layers.conv("conv2", out, {.out = width, .kernel = 3, .padding = 1}));
  out = layers.add_in_place(out, shortcut(layers, x, width, stride));
  return layers.relu("relu", out);
}

ValueId bottleneck(Layers& layers, std::string_view name, ValueId x, int64_t width, int64_t stride) {
  const auto scope = layers.builder().enter(name, "torchvision.models.resnet.Bottleneck");
  ValueId out = layers.relu("relu", layers.batch_norm("bn1", layers.conv("conv1", x, {.out = width})));
  out = layers.conv("conv2", out, {.out = width, .kernel = 3, .stride = stride, .padding = 1});
  out = layers.relu("relu", layers.batch_norm("bn2", out));
  out = layers.batch_norm("bn3", layers.conv("conv3", out, {.out = 4 * width}));
  out = layers.add_in_place(out, shortcut(layers, x, 4 * width, stride));
  return layers.relu("relu", out);
}

ValueId residual_stages(Layers& layers, ValueId x, const std::vector<int64_t>& blocks,
                        const std::vector<int64_t>& widths, Block block) {
  for (std::size_t stage = 0; stage < blocks.size(); ++stage) {
    const auto scope =
        layers.builder().enter("layer" + std::to_string(stage + 1), "torch.nn.modules.container.Sequential");
    for (int64_t i = 0; i < blocks[stage]; ++i) {
      x = block(layers, std::to_string(i), x, widths[stage], stage > 0 && i == 0 ? 2 : 1);
    }
  }
  return x;
}

}  // namespace limbeck::zoo
