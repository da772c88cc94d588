// Layers with parameters, as torch.nn has them: each enters a scope, registers its parameters under torch's names and
// draws their initial values.
#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "limbeck/graph/builder.h"

namespace limbeck::zoo {

using graph::ValueId;

/// How a convolution's or linear layer's weight is drawn.
enum class Init : uint8_t {
  torch_default,    // uniform ±1/sqrt(fan_in), as torch.nn.Conv2d and Linear
  kaiming_fan_out,  // normal with deviation sqrt(2 / fan_out): He et al. 2015 (arXiv:1502.01852)
  normal_001,       // normal with deviation 0.01, bias 0
  uniform_out,      // uniform ±1/sqrt(out_features), bias 0
};

struct ConvOptions {
  int64_t out = 0;
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t groups = 1;
  bool bias = false;
  Init init = Init::kaiming_fan_out;  // biases are 0 then
};

struct NormOptions {
  double eps = 1e-5;
  double momentum = 0.1;
};

class Layers {
 public:
  /// Builds into `graph`; initial weights come from `seed`.
  Layers(graph::Graph& graph, uint64_t seed);

  graph::Builder& builder() { return builder_; }
  /// Channels of a map [B, C, H, W] or features of a vector [B, C].
  int64_t channels(ValueId x);

  ValueId image(int64_t channels, int64_t size);  // the input "x": [B, channels, size, size]
  ValueId conv(std::string_view name, ValueId x, const ConvOptions& options);
  ValueId batch_norm(std::string_view name, ValueId x, const NormOptions& options = {});
  ValueId linear(std::string_view name, ValueId x, int64_t out, Init init = Init::torch_default);
  ValueId relu(std::string_view name, ValueId x);   // in place
  ValueId relu6(std::string_view name, ValueId x);  // in place
  ValueId silu(std::string_view name, ValueId x);   // in place
  ValueId sigmoid(std::string_view name, ValueId x);
  ValueId max_pool(std::string_view name, ValueId x, int64_t kernel, int64_t stride, int64_t padding);
  ValueId global_avg_pool(std::string_view name, ValueId x);
  ValueId dropout(std::string_view name, ValueId x, double p);
  /// Stochastic depth by sample (torchvision's mode "row").
  ValueId drop_path(std::string_view name, ValueId x, double p);

  // In the current scope:
  ValueId flatten(ValueId x);
  ValueId add_in_place(ValueId x, ValueId y);  // x += y
  ValueId add(ValueId x, ValueId y);
  ValueId multiply(ValueId x, ValueId y);

  /// Ends the graph: its output "logits", its scopes numbered, its name.
  void finish(ValueId logits, std::string_view name);

 private:
  ValueId unary(std::string_view name, std::string_view type, std::string_view op,
                std::vector<graph::Argument> arguments, bool in_place);
  std::string full_name(std::string_view name) const;
  at::Tensor draw_weight(const std::vector<int64_t>& sizes, Init init, int64_t fan_in, int64_t fan_out);
  uint32_t next_call(std::string_view name);

  graph::Builder builder_;
  at::Generator generator_;
  std::map<std::string, uint32_t> calls_;
};

}  // namespace limbeck::zoo
