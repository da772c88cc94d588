// ResNets of He et al. 2015 (arXiv:1512.03385): for ImageNet with torchvision's names, and small ones with a 3x3 stem.
#include <cmath>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/zoo/architectures.h"
#include "limbeck/zoo/residual.h"

namespace limbeck::zoo {

namespace {

/// Global average pooling and the classifier, which close all of them.
ValueId classify(Layers& layers, ValueId x, int64_t classes) {
  return layers.linear("fc", layers.flatten(layers.global_avg_pool("avgpool", x)), classes);
}

graph::Graph imagenet_resnet(const char* name, const ZooOptions& options, const std::vector<int64_t>& blocks,
                             Block block) {
  graph::Graph graph;
  Layers layers(graph, options.seed);
  ValueId x = layers.image(options.in_channels.value_or(3), options.image_size.value_or(224));
  x = layers.conv("conv1", x, {.out = 64, .kernel = 7, .stride = 2, .padding = 3});
  x = layers.max_pool("maxpool", layers.relu("relu", layers.batch_norm("bn1", x)), 3, 2, 1);
  x = residual_stages(layers, x, blocks, {64, 128, 256, 512}, block);
  layers.finish(classify(layers, x, options.classes.value_or(1000)), name);
  return graph;
}

struct SmallResnet {
  const char* name;
  int64_t stem_stride, image_size, in_channels, classes;
  std::vector<int64_t> blocks, widths;
};

graph::Graph small_resnet(const SmallResnet& net, uint64_t seed) {
  graph::Graph graph;
  Layers layers(graph, seed);
  ValueId x = layers.image(net.in_channels, net.image_size);
  x = layers.conv("conv1", x, {.out = net.widths.front(), .kernel = 3, .stride = net.stem_stride, .padding = 1});
  x = layers.relu("relu", layers.batch_norm("bn1", x));
  x = residual_stages(layers, x, net.blocks, net.widths, basic_block);
  layers.finish(classify(layers, x, net.classes), net.name);
  return graph;
}

}  // namespace

graph::Graph make_resnet18(const ZooOptions& options) {
  return imagenet_resnet("resnet18", options, {2, 2, 2, 2}, basic_block);
}

graph::Graph make_resnet50(const ZooOptions& options) {
  return imagenet_resnet("resnet50", options, {3, 4, 6, 3}, bottleneck);
}

graph::Graph make_resnet_basic(const ZooOptions& options) {
  SmallResnet net{.name = "resnet_basic",
                  .stem_stride = options.stem_stride.value_or(1),
                  .image_size = options.image_size.value_or(32),
                  .in_channels = options.in_channels.value_or(3),
                  .classes = options.classes.value_or(10),
                  .blocks = options.blocks,
                  .widths = options.widths};
  if (net.blocks.empty()) net.blocks = {1, 1, 1};
  if (net.widths.empty()) net.widths = {32, 64, 128};
  LIMBECK_CHECK(net.blocks.size() == net.widths.size(),
                "[zoo] resnet_basic has {} blocks and {} widths: one of each per stage", net.blocks.size(),
                net.widths.size());
  return small_resnet(net, options.seed);
}

graph::Graph make_cifar_resnet(const ZooOptions& options) {
  const int64_t depth = options.depth.value_or(20), n = (depth - 2) / 6;
  LIMBECK_CHECK(n >= 1 && depth == 6 * n + 2, "[zoo] cifar_resnet has a depth of 6n+2 (20, 32, 44, 56, 110), got {}",
                depth);
  std::vector<int64_t> widths;
  for (const double base : {16.0, 32.0, 64.0}) {
    widths.push_back(std::max<int64_t>(1, std::llround(base * options.width.value_or(1))));
  }
  return small_resnet({.name = "cifar_resnet",
                       .stem_stride = 1,
                       .image_size = options.image_size.value_or(32),
                       .in_channels = options.in_channels.value_or(3),
                       .classes = options.classes.value_or(10),
                       .blocks = {n, n, n},
                       .widths = std::move(widths)},
                      options.seed);
}

}  // namespace limbeck::zoo
