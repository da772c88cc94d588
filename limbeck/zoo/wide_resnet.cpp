// Wide ResNets of Zagoruyko and Komodakis 2016 (arXiv:1605.07146): pre-activation blocks, B(3,3), for small images.
#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/zoo/architectures.h"
#include "limbeck/zoo/layers.h"

namespace limbeck::zoo {

namespace {

/// bn - relu - conv3x3(stride) - bn - relu - dropout - conv3x3, plus the shortcut; where the shape changes the shortcut
/// is a 1x1 convolution of the activated input.
ValueId wide_block(Layers& layers, std::string_view name, ValueId x, int64_t width, int64_t stride, double dropout) {
  const auto scope = layers.builder().enter(name);
  const bool changes = stride != 1 || layers.channels(x) != width;
  const ValueId activated = layers.relu("relu1", layers.batch_norm("bn1", x));
  ValueId out = layers.conv("conv1", activated, {.out = width, .kernel = 3, .stride = stride, .padding = 1});
  out = layers.relu("relu2", layers.batch_norm("bn2", out));
  if (dropout > 0) out = layers.dropout("dropout", out, dropout);
  out = layers.conv("conv2", out, {.out = width, .kernel = 3, .padding = 1});
  const ValueId shortcut = changes ? layers.conv("shortcut", activated, {.out = width, .stride = stride}) : x;
  return layers.add(out, shortcut);
}

}  // namespace

graph::Graph make_wide_resnet(const ZooOptions& options) {
  const int64_t depth = options.depth.value_or(16), n = (depth - 4) / 6;
  LIMBECK_CHECK(n >= 1 && depth == 6 * n + 4, "[zoo] wide_resnet has a depth of 6n+4 (10, 16, 22, 28, 40), got {}",
                depth);
  graph::Graph graph;
  Layers layers(graph, options.seed);
  ValueId x = layers.image(options.in_channels.value_or(3), options.image_size.value_or(32));
  x = layers.conv("conv1", x, {.out = 16, .kernel = 3, .padding = 1});
  for (int64_t stage = 0; stage < 3; ++stage) {
    const auto scope = layers.builder().enter("layer" + std::to_string(stage + 1));
    const auto width = std::max<int64_t>(1, std::llround(options.width.value_or(4) * static_cast<double>(16 << stage)));
    for (int64_t i = 0; i < n; ++i) {
      x = wide_block(layers, std::to_string(i), x, width, stage > 0 && i == 0 ? 2 : 1, options.dropout.value_or(0));
    }
  }
  x = layers.relu("relu", layers.batch_norm("bn", x));
  x = layers.flatten(layers.global_avg_pool("avgpool", x));
  layers.finish(layers.linear("fc", x, options.classes.value_or(10)), "wide_resnet");
  return graph;
}

}  // namespace limbeck::zoo
