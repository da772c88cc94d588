// EfficientNet-B0 of Tan and Le 2019 (arXiv:1905.11946), table 1, with torchvision's names and initial values, squeeze
// and excitation (Hu et al. 2018, arXiv:1709.01507) and stochastic depth (Huang et al. 2016, arXiv:1603.09382).
#include <algorithm>
#include <array>

#include "limbeck/zoo/architectures.h"
#include "limbeck/zoo/layers.h"

namespace limbeck::zoo {

namespace {

struct Stage {
  int64_t expansion, kernel, stride, in, out, repeats;
};
constexpr std::array<Stage, 7> kStages = {{{1, 3, 1, 32, 16, 1},
                                           {6, 3, 2, 16, 24, 2},
                                           {6, 5, 2, 24, 40, 2},
                                           {6, 3, 2, 40, 80, 3},
                                           {6, 5, 1, 80, 112, 3},
                                           {6, 5, 2, 112, 192, 4},
                                           {6, 3, 1, 192, 320, 1}}};
constexpr int64_t kNumBlocks = 16;

ValueId conv_norm_silu(Layers& layers, std::string_view name, ValueId x, const ConvOptions& conv) {
  const auto scope = layers.builder().enter(name, "torchvision.ops.misc.Conv2dNormActivation");
  return layers.silu("2", layers.batch_norm("1", layers.conv("0", x, conv)));
}

ValueId squeeze_excitation(Layers& layers, std::string_view name, ValueId x, int64_t squeezed) {
  const auto scope = layers.builder().enter(name, "torchvision.ops.misc.SqueezeExcitation");
  ValueId scale = layers.global_avg_pool("avgpool", x);
  scale = layers.silu("activation", layers.conv("fc1", scale, {.out = squeezed, .bias = true}));
  scale = layers.conv("fc2", scale, {.out = layers.channels(x), .bias = true});
  return layers.multiply(layers.sigmoid("scale_activation", scale), x);
}

/// Expand 1x1, depthwise, squeeze and excitation, project 1x1; stochastic depth and a shortcut where the shape stays.
ValueId mbconv(Layers& layers, std::string_view name, ValueId x, const Stage& stage, int64_t stride, double drop) {
  const auto scope = layers.builder().enter(name, "torchvision.models.efficientnet.MBConv");
  const int64_t in = layers.channels(x), hidden = in * stage.expansion;
  ValueId out = x;
  {
    const auto block = layers.builder().enter("block", "torch.nn.modules.container.Sequential");
    int index = 0;
    if (stage.expansion != 1) out = conv_norm_silu(layers, std::to_string(index++), out, {.out = hidden});
    out = conv_norm_silu(
        layers, std::to_string(index++), out,
        {.out = hidden, .kernel = stage.kernel, .stride = stride, .padding = (stage.kernel - 1) / 2, .groups = hidden});
    out = squeeze_excitation(layers, std::to_string(index++), out, std::max<int64_t>(1, in / 4));
    const auto project = layers.builder().enter(std::to_string(index), "torchvision.ops.misc.Conv2dNormActivation");
    out = layers.batch_norm("1", layers.conv("0", out, {.out = stage.out}));
  }
  if (stride != 1 || in != stage.out) return out;
  return layers.add_in_place(layers.drop_path("stochastic_depth", out, drop), x);
}

ValueId features(Layers& layers, ValueId x, double drop_path) {
  const auto scope = layers.builder().enter("features", "torch.nn.modules.container.Sequential");
  x = conv_norm_silu(layers, "0", x, {.out = 32, .kernel = 3, .stride = 2, .padding = 1});
  int64_t block = 0;
  for (std::size_t i = 0; i < kStages.size(); ++i) {
    const auto stage_scope = layers.builder().enter(std::to_string(i + 1), "torch.nn.modules.container.Sequential");
    for (int64_t repeat = 0; repeat < kStages[i].repeats; ++repeat, ++block) {
      const double drop = drop_path * static_cast<double>(block) / static_cast<double>(kNumBlocks);
      x = mbconv(layers, std::to_string(repeat), x, kStages[i], repeat == 0 ? kStages[i].stride : 1, drop);
    }
  }
  return conv_norm_silu(layers, std::to_string(kStages.size() + 1), x, {.out = 1280});
}

}  // namespace

graph::Graph make_efficientnet_b0(const ZooOptions& options) {
  graph::Graph graph;
  Layers layers(graph, options.seed);
  ValueId x = layers.image(options.in_channels.value_or(3), options.image_size.value_or(224));
  x = features(layers, x, options.drop_path.value_or(0.2));
  x = layers.flatten(layers.global_avg_pool("avgpool", x));
  const auto classifier = layers.builder().enter("classifier", "torch.nn.modules.container.Sequential");
  x = layers.dropout("0", x, options.dropout.value_or(0.2));
  layers.finish(layers.linear("1", x, options.classes.value_or(1000), Init::uniform_out), "efficientnet_b0");
  return graph;
}

}  // namespace limbeck::zoo
