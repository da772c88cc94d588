#include "limbeck/graph/fused/depthwise.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/graph/fused/autocast.h"
#include "limbeck/graph/fused/depthwise_kernels.h"
#include "limbeck/graph/fused/depthwise_taps.h"

namespace limbeck::fused {

namespace {

/// Parts of the batch whose weight gradients are summed apart and then together, so that the bits do not depend on the
/// number of threads; and channels a task, which keep a plane of both tensors in the second cache.
constexpr int64_t kMaxSlices = 8, kTaskChannels = 64;

template <class Element>
DepthwiseBackwardKernel<Element> choose_kernel(core::Isa isa) {
  if (isa >= core::Isa::avx512) return depthwise_backward_avx512;
  if (isa >= core::Isa::avx2) return depthwise_backward_avx2;
  return depthwise_backward_plain;
}

DepthwiseGeometry geometry_of(const at::Tensor& output_gradient, const at::Tensor& input, const at::Tensor& weight,
                              const DepthwiseConvolution& convolution) {
  LIMBECK_CHECK(input.dim() == 4 && weight.dim() == 4 && weight.size(1) == 1 && weight.size(0) == input.size(1),
                "[depthwise] input must be [N, C, H, W] and weight [C, 1, KH, KW], got {} and {}", input.sizes().vec(),
                weight.sizes().vec());
  const DepthwiseGeometry geometry{.channels = input.size(1),
                                   .height = input.size(2),
                                   .width = input.size(3),
                                   .out_height = output_gradient.size(2),
                                   .out_width = output_gradient.size(3),
                                   .kernel_height = weight.size(2),
                                   .kernel_width = weight.size(3),
                                   .stride_height = convolution.stride[0],
                                   .stride_width = convolution.stride[1],
                                   .padding_height = convolution.padding[0],
                                   .padding_width = convolution.padding[1]};
  const auto outputs = [](int64_t size, int64_t kernel, int64_t stride, int64_t padding) {
    return (size + 2 * padding - kernel) / stride + 1;
  };
  const int64_t height =
                    outputs(geometry.height, geometry.kernel_height, geometry.stride_height, geometry.padding_height),
                width = outputs(geometry.width, geometry.kernel_width, geometry.stride_width, geometry.padding_width);
  LIMBECK_CHECK(output_gradient.sizes() == at::IntArrayRef({input.size(0), geometry.channels, height, width}),
                "[depthwise] the output's gradient must be {}, got {}",
                std::vector<int64_t>{input.size(0), geometry.channels, height, width}, output_gradient.sizes().vec());
  return geometry;
}

/// One call's tensors and how its work is cut into tasks: slices of the batch by groups of channels.
template <class Element>
class Backward {
 public:
  Backward(const DepthwiseGeometry& geometry, const at::Tensor& output_gradient, const at::Tensor& input,
           const at::Tensor& weight)
      : geometry_(geometry),
        images_(input.size(0)),
        slices_(std::clamp<int64_t>(images_, 1, kMaxSlices)),
        groups_((geometry.channels + kTaskChannels - 1) / kTaskChannels),
        row_taps_(taps_of_inputs(geometry.height, geometry.out_height, geometry.kernel_height, geometry.stride_height,
                                 geometry.padding_height)),
        column_taps_(taps_of_inputs(geometry.width, geometry.out_width, geometry.kernel_width, geometry.stride_width,
                                    geometry.padding_width)),
        packed_weight_(weight.squeeze(1).permute({1, 2, 0}).to(at::kFloat).contiguous()) {
    call_.output_gradient = elements(output_gradient);
    call_.input = elements(input);
    call_.weight = packed_weight_.template const_data_ptr<float>();
    call_.row_taps = row_taps_.data();
    call_.column_taps = column_taps_.data();
  }

  void want_input(const at::Tensor& gradient) { call_.input_gradient = elements(gradient); }
  void want_weight() { partial_ = at::zeros({slices_, packed_weight_.numel()}, at::kFloat); }

  void run(DepthwiseBackwardKernel<Element> kernel) const {
    at::parallel_for(0, slices_ * groups_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) kernel(geometry_, task_call(task / groups_, task % groups_));
    });
  }

  /// [C, 1, KH, KW], float32: the slices' sums, added in their order.
  at::Tensor weight_gradient() const { return partial_.sum(0).view_as(packed_weight_).permute({2, 0, 1}).unsqueeze(1); }

 private:
  static Element* elements(const at::Tensor& tensor) { return static_cast<Element*>(tensor.data_ptr()); }

  DepthwiseBackward<Element> task_call(int64_t slice, int64_t group) const {
    const int64_t first = images_ * slice / slices_;
    const int64_t input_offset = first * geometry_.height * geometry_.width * geometry_.channels;
    DepthwiseBackward<Element> call = call_;
    call.output_gradient += first * geometry_.out_height * geometry_.out_width * geometry_.channels;
    call.input += input_offset;
    if (call.input_gradient != nullptr) call.input_gradient += input_offset;
    if (partial_.defined())
      call.weight_gradient = partial_.template mutable_data_ptr<float>() + slice * packed_weight_.numel();
    call.num_images = images_ * (slice + 1) / slices_ - first;
    call.first_channel = group * kTaskChannels;
    call.num_channels = std::min(kTaskChannels, geometry_.channels - call.first_channel);
    return call;
  }

  DepthwiseGeometry geometry_;
  int64_t images_, slices_, groups_;
  std::vector<DepthwiseTaps> row_taps_, column_taps_;
  at::Tensor packed_weight_;  // [KH, KW, C]
  at::Tensor partial_;        // [slices, KH * KW * C]
  DepthwiseBackward<Element> call_{};
};

template <class Element>
DepthwiseGradients gradients(const DepthwiseGeometry& geometry, const at::Tensor& output_gradient,
                             const at::Tensor& input, const at::Tensor& weight, const DepthwiseWants& wants,
                             core::Isa isa) {
  Backward<Element> backward(geometry, output_gradient, input, weight);
  DepthwiseGradients result;
  if (wants.input) {
    result.input = at::empty_like(input, input.options(), at::MemoryFormat::ChannelsLast);
    backward.want_input(result.input);
  }
  if (wants.weight) backward.want_weight();
  backward.run(choose_kernel<Element>(isa));
  if (wants.weight) {
    result.weight = at::empty_like(weight);
    result.weight.copy_(backward.weight_gradient());
  }
  return result;
}

bool is_own_element(const at::Tensor& tensor) {
  return tensor.device().is_cpu() && (tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16);
}

/// Where the own gradients apply; elsewhere conv2d with its own autograd does the same.
bool has_own_gradients(const at::Tensor& input, const at::Tensor& weight) {
  return input.dim() == 4 && is_own_element(input) && weight.scalar_type() == input.scalar_type() &&
         input.is_contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor library_conv2d(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                          const DepthwiseConvolution& convolution) {
  return at::conv2d(input, weight, bias, convolution.stride, convolution.padding, {1, 1}, weight.size(0));
}

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct DepthwiseFunction : torch::autograd::Function<DepthwiseFunction> {
  static Variable forward(AutogradContext* context, const Variable& input, const Variable& weight,
                          const std::optional<at::Tensor>& bias, const DepthwiseConvolution& convolution) {
    context->save_for_backward({input, weight});
    context->saved_data["has_bias"] = bias.has_value();
    context->saved_data["stride"] = std::vector<int64_t>(convolution.stride.begin(), convolution.stride.end());
    context->saved_data["padding"] = std::vector<int64_t>(convolution.padding.begin(), convolution.padding.end());
    return library_conv2d(input, weight, bias, convolution);
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& input = saved[0];
    const at::Tensor& weight = saved[1];
    const std::vector<int64_t> stride = context->saved_data["stride"].toIntVector(),
                               padding = context->saved_data["padding"].toIntVector();
    const bool wants_bias = context->saved_data["has_bias"].toBool() && context->needs_input_grad(2);
    if (at::GradMode::is_enabled()) {  // gradients of gradients: ATen's backward has its own
      auto [of_input, of_weight, of_bias] = at::convolution_backward(
          output_gradients[0], input, weight, at::OptionalIntArrayRef({weight.size(0)}), stride, padding, {1, 1}, false,
          {0, 0}, weight.size(0), {context->needs_input_grad(0), context->needs_input_grad(1), wants_bias});
      return {of_input, of_weight, of_bias, Variable()};
    }
    DepthwiseGradients made = depthwise_gradients(
        output_gradients[0], input, weight, {.stride = {stride[0], stride[1]}, .padding = {padding[0], padding[1]}},
        {.input = context->needs_input_grad(0), .weight = context->needs_input_grad(1)});
    return {made.input, made.weight, wants_bias ? output_gradients[0].sum({0, 2, 3}) : Variable(), Variable()};
  }
};

}  // namespace

DepthwiseGradients depthwise_gradients(const at::Tensor& output_gradient, const at::Tensor& input,
                                       const at::Tensor& weight, const DepthwiseConvolution& convolution,
                                       const DepthwiseWants& wants, core::Isa isa) {
  LIMBECK_CHECK(is_own_element(input) && input.scalar_type() == weight.scalar_type() &&
                    input.scalar_type() == output_gradient.scalar_type(),
                "[depthwise] all tensors must be float32 or all bfloat16 on the CPU, got {}, {} and {}",
                c10::toString(output_gradient.scalar_type()), c10::toString(input.scalar_type()),
                c10::toString(weight.scalar_type()));
  const DepthwiseGeometry geometry = geometry_of(output_gradient, input, weight, convolution);
  const at::Tensor last_gradient = output_gradient.contiguous(at::MemoryFormat::ChannelsLast),
                   last_input = input.contiguous(at::MemoryFormat::ChannelsLast);
  return input.scalar_type() == at::kFloat
             ? gradients<float>(geometry, last_gradient, last_input, weight, wants, isa)
             : gradients<uint16_t>(geometry, last_gradient, last_input, weight, wants, isa);
}

at::Tensor depthwise_conv2d(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            const DepthwiseConvolution& convolution) {
  const at::Tensor cast_input = as_autocast(input), cast_weight = as_autocast(weight);
  if (!has_own_gradients(cast_input, cast_weight)) return library_conv2d(input, weight, bias, convolution);
  const std::optional<at::Tensor> cast_bias = bias ? std::optional(as_autocast(*bias)) : std::nullopt;
  return DepthwiseFunction::apply(cast_input, cast_weight, cast_bias, convolution);
}

}  // namespace limbeck::fused
