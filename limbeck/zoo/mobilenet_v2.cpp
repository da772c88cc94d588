// MobileNetV2 of Sandler et al. 2018 (arXiv:1801.04381), table 2, with torchvision's names and initial values.
#include <array>

#include "limbeck/zoo/architectures.h"
#include "limbeck/zoo/layers.h"

namespace limbeck::zoo {

namespace {

struct Stage {
  int64_t expansion, channels, repeats, stride;
};
constexpr std::array<Stage, 7> kStages = {
    {{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}}};

/// conv "0" - bn "1" - relu6 "2" in scope `name`.
ValueId conv_norm_relu(Layers& layers, std::string_view name, ValueId x, const ConvOptions& conv) {
  const auto scope = layers.builder().enter(name, "torchvision.ops.misc.Conv2dNormActivation");
  return layers.relu6("2", layers.batch_norm("1", layers.conv("0", x, conv)));
}

/// Expand 1x1, depthwise 3x3, project 1x1, with a shortcut where the shape stays.
ValueId inverted_residual(Layers& layers, std::string_view name, ValueId x, const Stage& stage, int64_t stride) {
  const auto scope = layers.builder().enter(name, "torchvision.models.mobilenetv2.InvertedResidual");
  const int64_t in = layers.channels(x), hidden = in * stage.expansion;
  ValueId out = x;
  {
    const auto inner = layers.builder().enter("conv", "torch.nn.modules.container.Sequential");
    int index = 0;
    if (stage.expansion != 1) out = conv_norm_relu(layers, std::to_string(index++), out, {.out = hidden});
    out = conv_norm_relu(layers, std::to_string(index++), out,
                         {.out = hidden, .kernel = 3, .stride = stride, .padding = 1, .groups = hidden});
    out = layers.conv(std::to_string(index++), out, {.out = stage.channels});
    out = layers.batch_norm(std::to_string(index), out);
  }
  return stride == 1 && in == stage.channels ? layers.add(x, out) : out;
}

}  // namespace

graph::Graph make_mobilenet_v2(const ZooOptions& options) {
  graph::Graph graph;
  Layers layers(graph, options.seed);
  ValueId x = layers.image(options.in_channels.value_or(3), options.image_size.value_or(224));
  {
    const auto features = layers.builder().enter("features", "torch.nn.modules.container.Sequential");
    x = conv_norm_relu(layers, "0", x, {.out = 32, .kernel = 3, .stride = 2, .padding = 1});
    int index = 1;
    for (const Stage& stage : kStages) {
      for (int64_t i = 0; i < stage.repeats; ++i) {
        x = inverted_residual(layers, std::to_string(index++), x, stage, i == 0 ? stage.stride : 1);
      }
    }
    x = conv_norm_relu(layers, std::to_string(index), x, {.out = 1280});
  }
  x = layers.builder().call("aten::adaptive_avg_pool2d", {x, graph::ArgumentList{1, 1}});
  x = layers.flatten(x);
  const auto classifier = layers.builder().enter("classifier", "torch.nn.modules.container.Sequential");
  x = layers.dropout("0", x, options.dropout.value_or(0.2));
  layers.finish(layers.linear("1", x, options.classes.value_or(1000), Init::normal_001), "mobilenet_v2");
  return graph;
}

}  // namespace limbeck::zoo
