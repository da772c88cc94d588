#include "limbeck/graph/ops/own_ops.h"

#include <ATen/ATen.h>
#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/frontend/function_schema_parser.h>

#include <map>
#include <string>

#include "limbeck/core/error.h"
#include "limbeck/graph/fused/attention/attention.h"
#include "limbeck/graph/fused/attention/unbind.h"
#include "limbeck/graph/fused/batch_norm_act.h"
#include "limbeck/graph/fused/depthwise.h"
#include "limbeck/graph/fused/patch_conv2d.h"
#include "limbeck/graph/fused/strided_pointwise.h"

namespace limbeck::graph {

namespace {

/// Zeroes whole samples (or the whole batch) with probability p.
///   sampling "bernoulli": empty, bernoulli_(1 - p)          (torchvision, timm)
///   sampling "floor":     floor(rand + (1 - p))             (transformers)
///   scale "noise": the noise is divided by 1 - p; "input": the input is; "none": nothing is.
at::Tensor drop_path(const at::Tensor& self, double p, std::string_view sampling, std::string_view scale,
                     bool per_sample, bool train) {
  if (!train || p == 0.0) return self;
  LIMBECK_CHECK(p >= 0.0 && p <= 1.0, "[drop_path] p must lie in [0, 1], got {}", p);
  const double keep = 1.0 - p;
  std::vector<int64_t> shape(static_cast<std::size_t>(self.dim()), 1);
  if (per_sample && !shape.empty()) shape[0] = self.size(0);
  at::Tensor noise;
  if (sampling == "floor") {
    noise = at::rand(shape, self.options().requires_grad(false)).add(keep).floor_();
  } else {
    noise = at::empty(shape, self.options().requires_grad(false)).bernoulli_(keep);
  }
  if (scale == "noise" && keep > 0.0) noise.div_(keep);
  return (scale == "input" ? self.div(keep) : self) * noise;
}

void drop_path_kernel(std::vector<c10::IValue>& stack) {
  at::Tensor result = drop_path(stack[0].toTensor(), stack[1].toDouble(), stack[2].toStringView(),
                                stack[3].toStringView(), stack[4].toBool(), stack[5].toBool());
  stack.clear();
  stack.emplace_back(std::move(result));
}

/// The arguments of aten::conv2d, which the ops that stand for some of its uses share.
struct Conv2dArguments {
  explicit Conv2dArguments(const std::vector<c10::IValue>& stack)
      : input(stack[0].toTensor()),
        weight(stack[1].toTensor()),
        bias(stack[2].toOptional<at::Tensor>()),
        stride(stack[3].toIntVector()),
        padding(stack[4].toIntVector()),
        dilation(stack[5].toIntVector()),
        groups(stack[6].toInt()) {}

  at::Tensor run() const { return at::conv2d(input, weight, bias, stride, padding, dilation, groups); }

  at::Tensor input, weight;
  std::optional<at::Tensor> bias;
  std::vector<int64_t> stride, padding, dilation;
  int64_t groups;
};

constexpr const char* kConv2dSlots =
    "(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=1, SymInt[2] padding=0, SymInt[2] dilation=1, "
    "SymInt groups=1) -> Tensor";

/// What the own gradients do not cover is a conv2d as any other.
void depthwise_conv2d_kernel(std::vector<c10::IValue>& stack) {
  const Conv2dArguments conv(stack);
  const bool is_depthwise =
      conv.dilation == std::vector<int64_t>{1, 1} && conv.groups == conv.weight.size(0) && conv.weight.size(1) == 1;
  const fused::DepthwiseConvolution shape{.stride = {conv.stride[0], conv.stride[1]},
                                          .padding = {conv.padding[0], conv.padding[1]}};
  stack = {is_depthwise ? fused::depthwise_conv2d(conv.input, conv.weight, conv.bias, shape) : conv.run()};
}

void strided_pointwise_conv2d_kernel(std::vector<c10::IValue>& stack) {
  const Conv2dArguments conv(stack);
  const bool is_pointwise = conv.weight.size(2) == 1 && conv.weight.size(3) == 1;
  const bool is_padded = conv.padding != std::vector<int64_t>{0, 0};
  stack = {is_pointwise && !is_padded ? fused::strided_pointwise_conv2d(conv.input, conv.weight, conv.bias,
                                                                        {conv.stride[0], conv.stride[1]}, conv.groups)
                                      : conv.run()};
}

void patch_conv2d_kernel(std::vector<c10::IValue>& stack) {
  const Conv2dArguments conv(stack);
  const std::vector<int64_t> kernel = {conv.weight.size(2), conv.weight.size(3)};
  const bool is_patch = conv.input.dim() == 4 && conv.stride == kernel && conv.groups == 1 &&
                        conv.padding == std::vector<int64_t>{0, 0} && conv.dilation == std::vector<int64_t>{1, 1} &&
                        conv.input.size(2) >= kernel[0] && conv.input.size(3) >= kernel[1];
  stack = {is_patch ? fused::patch_conv2d(conv.input, conv.weight, conv.bias) : conv.run()};
}

/// What the own kernels do not cover is attention as any other.
void attention_kernel(std::vector<c10::IValue>& stack) {
  const at::Tensor query = stack[0].toTensor(), key = stack[1].toTensor(), value = stack[2].toTensor();
  const auto mask = stack[3].toOptional<at::Tensor>();
  const double dropout = stack[4].toDouble();
  const bool is_causal = stack[5].toBool(), is_grouped = stack[7].toBool();
  const auto scale = stack[6].toOptional<double>();
  const bool is_plain = !mask && dropout == 0.0 && !is_causal && !is_grouped;
  stack = {is_plain ? fused::attention(query, key, value, scale)
                    : at::scaled_dot_product_attention(query, key, value, mask, dropout, is_causal, scale, is_grouped)};
}

void unbind_kernel(std::vector<c10::IValue>& stack) {
  stack = {c10::IValue(c10::List<at::Tensor>(fused::unbind(stack[0].toTensor(), stack[1].toInt())))};
}

at::Tensor tensor_or_undefined(const c10::IValue& value) { return value.isNone() ? at::Tensor() : value.toTensor(); }

void batch_norm_act_kernel(std::vector<c10::IValue>& stack) {
  at::Tensor result = fused::batch_norm_act(stack[0].toTensor(), {.weight = tensor_or_undefined(stack[1]),
                                                                  .bias = tensor_or_undefined(stack[2]),
                                                                  .running_mean = tensor_or_undefined(stack[3]),
                                                                  .running_var = tensor_or_undefined(stack[4]),
                                                                  .training = stack[5].toBool(),
                                                                  .momentum = stack[6].toDouble(),
                                                                  .eps = stack[7].toDouble(),
                                                                  .residual = stack[8].toOptional<at::Tensor>(),
                                                                  .activation = stack[9].toStringView()});
  stack.clear();
  stack.emplace_back(std::move(result));
}

const c10::FunctionSchema* schema(const std::string& text) {
  return new c10::FunctionSchema(torch::jit::parseSchema(text));
}

}  // namespace

const OwnOp* find_own_op(std::string_view name) {
  static const auto* const ops = new std::map<std::string, OwnOp, std::less<>>{
      {"limbeck::input", {schema("limbeck::input(int index) -> Tensor"), nullptr}},
      {"limbeck::parameter", {schema("limbeck::parameter(str name) -> Tensor"), nullptr}},
      {"limbeck::by_mode", {schema("limbeck::by_mode(Tensor? train, Tensor? eval) -> Tensor"), nullptr}},
      {"limbeck::drop_path",
       {schema("limbeck::drop_path(Tensor self, float p, str sampling=\"bernoulli\", str scale=\"noise\", "
               "bool per_sample=True, bool train=False) -> Tensor"),
        drop_path_kernel}},
      {"limbeck::depthwise_conv2d",
       {schema(std::string("limbeck::depthwise_conv2d") + kConv2dSlots), depthwise_conv2d_kernel}},
      {"limbeck::strided_pointwise_conv2d",
       {schema(std::string("limbeck::strided_pointwise_conv2d") + kConv2dSlots), strided_pointwise_conv2d_kernel}},
      {"limbeck::patch_conv2d", {schema(std::string("limbeck::patch_conv2d") + kConv2dSlots), patch_conv2d_kernel}},
      {"limbeck::scaled_dot_product_attention",
       {schema("limbeck::scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, "
               "float dropout_p=0., bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor"),
        attention_kernel}},
      {"limbeck::unbind", {schema("limbeck::unbind(Tensor self, int dim=0) -> Tensor[]"), unbind_kernel}},
      {"limbeck::batch_norm_act",
       {schema("limbeck::batch_norm_act(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, "
               "Tensor? running_var, bool training, float momentum, float eps, Tensor? residual=None, "
               "str activation=\"none\") -> Tensor"),
        batch_norm_act_kernel}},
  };
  const auto found = ops->find(name);
  return found == ops->end() ? nullptr : &found->second;
}

}  // namespace limbeck::graph
