#include "limbeck/graph/fused/batch_norm_act.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/graph/fused/channel_norm.h"

namespace limbeck::fused {

namespace {

/// Bytes of one operand in a range of rows: it and its companions stay in a core's second-level cache.
constexpr int64_t kRangeBytes = 128 << 10;

Activation parse_activation(std::string_view name) {
  constexpr std::array<std::string_view, 4> kNames = {"none", "relu", "relu6", "silu"};
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  LIMBECK_CHECK(found != kNames.end(),
                "[batch_norm_act] activation must be none, relu, relu6 or silu, got '{}'. Use one of these.", name);
  return static_cast<Activation>(found - kNames.begin());
}

Storage storage_of(const at::Tensor& x) { return x.scalar_type() == at::kFloat ? Storage::f32 : Storage::bf16; }

/// Rows of channels, cut into ranges by shape alone.
struct Rows {
  int64_t rows = 0, channels = 0, range_rows = 1, num_ranges = 0;

  explicit Rows(const at::Tensor& x) : rows(x.numel() / x.size(1)), channels(x.size(1)) {
    range_rows = std::clamp<int64_t>(kRangeBytes / (channels * static_cast<int64_t>(sizeof(float))), 16, 1024);
    num_ranges = (rows + range_rows - 1) / range_rows;
  }

  RowRange range(int64_t index) const {
    return {.begin = index * range_rows, .end = std::min(rows, (index + 1) * range_rows)};
  }

  template <class Run>
  void in_parallel(const Run& run) const {
    at::parallel_for(0, num_ranges, 1, [&](int64_t begin, int64_t end) {
      for (int64_t index = begin; index < end; ++index) run(index);
    });
  }
};

/// Per channel, what forward and backward need; rows of one [4, C] float32 tensor, so that autograd keeps it.
struct Statistics {
  at::Tensor table;
  float *mean, *rstd, *scale, *bias;

  explicit Statistics(at::Tensor t) : table(std::move(t)) {
    float* const data = table.data_ptr<float>();
    const int64_t channels = table.size(1);
    mean = data;
    rstd = data + channels;
    scale = data + 2 * channels;
    bias = data + 3 * channels;
  }
};

/// Mean and the sum of squared distances from it, merged range by range (Chan, Golub and LeVeque 1983, eq. 2.1).
struct Moments {
  double count = 0, mean = 0, squares = 0;

  void merge(double other_count, double other_mean, double other_squares) {
    const double total = count + other_count, distance = other_mean - mean;
    squares += other_squares + distance * distance * count * other_count / total;
    mean += distance * other_count / total;
    count = total;
  }
};

const float* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}

std::vector<Moments> moments_of(const at::Tensor& x, const Rows& rows) {
  const int64_t channels = rows.channels;
  std::vector<float> sums(static_cast<std::size_t>(rows.num_ranges * 3 * channels));
  const ChannelNormKernels& kernels = channel_norm_kernels();
  rows.in_parallel([&](int64_t index) {
    kernels.moments(x.const_data_ptr(), storage_of(x), channels, rows.range(index), &sums[index * 3 * channels]);
  });
  std::vector<Moments> result(static_cast<std::size_t>(channels));
  for (int64_t index = 0; index < rows.num_ranges; ++index) {
    const float* const part = &sums[index * 3 * channels];
    const double count = static_cast<double>(rows.range(index).end - rows.range(index).begin);
    for (int64_t c = 0; c < channels; ++c) {
      const double sum = part[c], squares = part[channels + c], pivot = part[2 * channels + c];
      result[c].merge(count, pivot + sum / count, std::max(0.0, squares - sum * sum / count));
    }
  }
  return result;
}

void update_running(const std::vector<Moments>& moments, const BatchNormAct& options) {
  if (!options.running_mean.defined()) return;
  float* const mean = options.running_mean.data_ptr<float>();
  float* const variance = options.running_var.data_ptr<float>();
  const double momentum = options.momentum;
  for (std::size_t c = 0; c < moments.size(); ++c) {
    const double unbiased = moments[c].squares / (moments[c].count - 1);
    mean[c] = static_cast<float>(momentum * moments[c].mean + (1 - momentum) * mean[c]);
    variance[c] = static_cast<float>(momentum * unbiased + (1 - momentum) * variance[c]);
  }
}

Statistics statistics_of(const std::vector<Moments>& moments, const BatchNormAct& options) {
  const auto channels = static_cast<int64_t>(moments.size());
  Statistics statistics(at::empty({4, channels}, at::kFloat));
  const float* const weight = data_or_null(options.weight);
  const float* const bias = data_or_null(options.bias);
  for (std::size_t c = 0; c < moments.size(); ++c) {
    const double rstd = 1 / std::sqrt(moments[c].squares / moments[c].count + options.eps);
    const double scale = (weight == nullptr ? 1.0 : weight[c]) * rstd;
    statistics.mean[c] = static_cast<float>(moments[c].mean);
    statistics.rstd[c] = static_cast<float>(rstd);
    statistics.scale[c] = static_cast<float>(scale);
    statistics.bias[c] = bias == nullptr ? 0.0F : bias[c];
  }
  return statistics;
}

at::Tensor run_forward(const at::Tensor& x, const Statistics& statistics, const Rows& rows,
                       const BatchNormAct& options) {
  at::Tensor y = at::empty_like(x);
  const NormForward norm{.input = x.const_data_ptr(),
                         .residual = options.residual ? options.residual->const_data_ptr() : nullptr,
                         .output = y.data_ptr(),
                         .mean = statistics.mean,
                         .scale = statistics.scale,
                         .bias = statistics.bias,
                         .channels = rows.channels,
                         .storage = storage_of(x),
                         .activation = parse_activation(options.activation)};
  const ChannelNormKernels& kernels = channel_norm_kernels();
  rows.in_parallel([&](int64_t index) { kernels.forward(norm, rows.range(index)); });
  return y;
}

/// What the backward pass works on; tensors are channels_last.
struct BackwardInput {
  at::Tensor grad_output, x, y;  // y: only where the activation's slope is told from it
  at::Tensor statistics;
  Activation activation = Activation::none;
  bool has_residual = false;
};

struct Gradients {
  at::Tensor x, weight, bias, residual;
};

/// Sums over all rows of dz and of dz * (x - mean), [2, C] in double.
std::vector<double> reduce_gradient(const NormReduction& norm, const Rows& rows) {
  const int64_t width = 2 * rows.channels;
  std::vector<float> parts(static_cast<std::size_t>(rows.num_ranges * width));
  const ChannelNormKernels& kernels = channel_norm_kernels();
  rows.in_parallel([&](int64_t index) { kernels.reduce(norm, rows.range(index), &parts[index * width]); });
  std::vector<double> sums(static_cast<std::size_t>(width));
  for (int64_t index = 0; index < rows.num_ranges; ++index) {
    for (int64_t c = 0; c < width; ++c) sums[c] += parts[index * width + c];
  }
  return sums;
}

/// Coefficients of NormBackward, rows of [2, C]: mean_grad and slope; and the gradients of weight and bias.
std::vector<float> coefficients_of(const std::vector<double>& sums, const BackwardInput& input, const Rows& rows,
                                   Gradients& gradients) {
  const Statistics statistics(input.statistics);
  const int64_t channels = rows.channels;
  gradients.weight = at::empty({channels}, at::kFloat);
  gradients.bias = at::empty({channels}, at::kFloat);
  float* const grad_weight = gradients.weight.data_ptr<float>();
  float* const grad_bias = gradients.bias.data_ptr<float>();
  std::vector<float> table(static_cast<std::size_t>(2 * channels));
  const double count = static_cast<double>(rows.rows);
  for (int64_t c = 0; c < channels; ++c) {
    const double rstd = statistics.rstd[c];
    grad_bias[c] = static_cast<float>(sums[c]);
    grad_weight[c] = static_cast<float>(sums[channels + c] * rstd);
    table[c] = static_cast<float>(sums[c] / count);
    table[channels + c] = static_cast<float>(sums[channels + c] * rstd * rstd / count);
  }
  return table;
}

/// The gradient of the residual is that before the activation: without one, the output's itself.
at::Tensor make_grad_activated(const BackwardInput& input) {
  const bool is_stored = input.has_residual && input.activation != Activation::none;
  return is_stored ? at::empty_like(input.grad_output) : at::Tensor();
}

Gradients run_backward(const BackwardInput& input) {
  const Rows rows(input.x);
  const Statistics statistics(input.statistics);
  Gradients gradients;
  const at::Tensor stored = make_grad_activated(input);
  const std::vector<double> sums = reduce_gradient({.grad_output = input.grad_output.const_data_ptr(),
                                                    .input = input.x.const_data_ptr(),
                                                    .output = input.y.defined() ? input.y.const_data_ptr() : nullptr,
                                                    .grad_activated = stored.defined() ? stored.data_ptr() : nullptr,
                                                    .mean = statistics.mean,
                                                    .scale = statistics.scale,
                                                    .bias = statistics.bias,
                                                    .channels = rows.channels,
                                                    .storage = storage_of(input.x),
                                                    .activation = input.activation},
                                                   rows);
  const std::vector<float> table = coefficients_of(sums, input, rows, gradients);
  gradients.x = at::empty_like(input.x);
  const NormBackward norm{.grad_output = (stored.defined() ? stored : input.grad_output).const_data_ptr(),
                          .input = input.x.const_data_ptr(),
                          .grad_input = gradients.x.data_ptr(),
                          .mean = statistics.mean,
                          .scale = statistics.scale,
                          .bias = statistics.bias,
                          .mean_grad = table.data(),
                          .slope = table.data() + rows.channels,
                          .channels = rows.channels,
                          .storage = storage_of(input.x),
                          .activation = stored.defined() ? Activation::none : input.activation};
  const ChannelNormKernels& kernels = channel_norm_kernels();
  rows.in_parallel([&](int64_t index) { kernels.backward(norm, rows.range(index)); });
  if (input.has_residual) gradients.residual = stored.defined() ? stored : input.grad_output;
  return gradients;
}

class BatchNormActFunction : public torch::autograd::Function<BatchNormActFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& weight, const std::optional<at::Tensor>& bias,
                            const std::optional<at::Tensor>& residual, const BatchNormAct& options) {
    const Rows rows(x);
    const std::vector<Moments> moments = moments_of(x, rows);
    update_running(moments, options);
    const Statistics statistics = statistics_of(moments, options);
    at::Tensor y = run_forward(x, statistics, rows, options);
    const Activation activation = parse_activation(options.activation);
    const bool needs_output = residual.has_value() && activation != Activation::none;
    context->save_for_backward({x, needs_output ? y : at::Tensor(), statistics.table});
    context->saved_data["activation"] = static_cast<int64_t>(activation);
    context->saved_data["has_residual"] = residual.has_value();
    context->saved_data["has_weight"] = weight.has_value();
    context->saved_data["has_bias"] = bias.has_value();
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    if (at::GradMode::is_enabled()) {
      fail<Unsupported>(
          "[batch_norm_act] a fused batch norm has no gradient of its gradient. Run the model without fusion.");
    }
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    BackwardInput input{.grad_output = gradients[0].to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast),
                        .x = x,
                        .y = saved[1],
                        .statistics = saved[2],
                        .activation = static_cast<Activation>(context->saved_data["activation"].toInt()),
                        .has_residual = context->saved_data["has_residual"].toBool()};
    const Gradients result = run_backward(input);
    const bool has_weight = context->saved_data["has_weight"].toBool();
    const bool has_bias = context->saved_data["has_bias"].toBool();
    return {result.x, has_weight ? result.weight : at::Tensor(), has_bias ? result.bias : at::Tensor(), result.residual,
            at::Tensor()};
  }
};

bool is_channel_vector(const at::Tensor& tensor, int64_t channels) {
  return !tensor.defined() || (tensor.scalar_type() == at::kFloat && tensor.device().is_cpu() &&
                               tensor.is_contiguous() && tensor.numel() == channels);
}

bool is_like(const at::Tensor& residual, const at::Tensor& x) {
  return residual.scalar_type() == x.scalar_type() && residual.sizes() == x.sizes() && residual.device() == x.device();
}

/// Whether the kernels take it; else ATen's ops do.
bool is_supported(const at::Tensor& x, const BatchNormAct& options) {
  if (!options.training || !x.device().is_cpu() || x.dim() != 4) return false;
  if (x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16) return false;
  if (!x.is_contiguous(at::MemoryFormat::ChannelsLast) || x.numel() < 2 * x.size(1) || x.numel() == 0) return false;
  if (options.residual && (!is_like(*options.residual, x) || options.activation == "silu")) return false;
  const int64_t channels = x.size(1);
  return is_channel_vector(options.weight, channels) && is_channel_vector(options.bias, channels) &&
         is_channel_vector(options.running_mean, channels) && is_channel_vector(options.running_var, channels) &&
         options.running_mean.defined() == options.running_var.defined();
}

std::optional<at::Tensor> optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

at::Tensor composed(const at::Tensor& x, const BatchNormAct& options) {
  at::Tensor y = at::batch_norm(x, optional(options.weight), optional(options.bias), optional(options.running_mean),
                                optional(options.running_var), options.training, options.momentum, options.eps, true);
  if (options.residual) y = y + *options.residual;
  switch (parse_activation(options.activation)) {
    case Activation::none:
      return y;
    case Activation::relu:
      return y.relu();
    case Activation::relu6:
      return at::hardtanh(y, 0, 6);
    case Activation::silu:
      return at::silu(y);
  }
  fail<InternalError>("[batch_norm_act] unknown activation");
}

}  // namespace

at::Tensor batch_norm_act(const at::Tensor& x, const BatchNormAct& options) {
  if (!is_supported(x, options)) return composed(x, options);
  BatchNormAct contiguous = options;
  if (options.residual) contiguous.residual = options.residual->contiguous(at::MemoryFormat::ChannelsLast);
  return BatchNormActFunction::apply(x, optional(options.weight), optional(options.bias), contiguous.residual,
                                     contiguous);
}

}  // namespace limbeck::fused
