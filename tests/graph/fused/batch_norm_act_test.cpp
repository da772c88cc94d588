#include "limbeck/graph/fused/batch_norm_act.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <tuple>

#include "limbeck/core/cpu.h"
#include "limbeck/core/error.h"

namespace limbeck::fused {
namespace {

at::Tensor normal(at::IntArrayRef sizes, uint64_t seed) {
  at::manual_seed(seed);
  return at::randn(sizes);
}

bool is_equal(const at::Tensor& a, const at::Tensor& b) { return at::equal(a, b); }

/// What `action` says when it throws an E.
template <class E, class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing was thrown";
}

/// Everything that a training run of one op leaves behind.
struct Seen {
  at::Tensor y, grad_x, grad_weight, grad_bias, grad_residual, running_mean, running_var;
};

struct Problem {
  at::Tensor x, weight, bias, residual, grad_y;

  Problem(std::array<int64_t, 4> sizes, bool has_residual) {
    const int64_t channels = sizes[1];
    x = normal(sizes, 1).mul(2).add(0.7);
    weight = normal({channels}, 2).mul(0.3).add(1);
    bias = normal({channels}, 3);
    if (has_residual) residual = normal(sizes, 4);
    grad_y = normal(sizes, 5);
  }
};

at::Tensor leaf(const at::Tensor& tensor, at::ScalarType dtype) {
  if (!tensor.defined()) return tensor;
  at::Tensor copy = tensor.to(dtype).clone();
  if (copy.dim() == 4) copy = copy.contiguous(at::MemoryFormat::ChannelsLast);
  return copy.set_requires_grad(true);
}

at::Tensor by_aten(const at::Tensor& x, const BatchNormAct& options) {
  at::Tensor y = at::batch_norm(x, options.weight, options.bias, options.running_mean, options.running_var, true,
                                options.momentum, options.eps, false);
  if (options.residual) y = y + *options.residual;
  if (options.activation == "relu") return y.relu();
  if (options.activation == "relu6") return at::hardtanh(y, 0, 6);
  return options.activation == "silu" ? at::silu(y) : y;
}

/// Runs `op` on the problem with rows of `rows` and everything else of `others`.
template <class Op>
Seen run(const Op& op, const Problem& problem, std::string_view activation, at::ScalarType rows,
         at::ScalarType others) {
  const at::Tensor x = leaf(problem.x.to(rows), rows);
  const int64_t channels = x.size(1);
  BatchNormAct options{.weight = leaf(problem.weight, others),
                       .bias = leaf(problem.bias, others),
                       .running_mean = at::full({channels}, 0.25, others),
                       .running_var = at::full({channels}, 1.5, others),
                       .eps = 1e-3,
                       .activation = activation};
  if (problem.residual.defined()) options.residual = leaf(problem.residual, rows);
  const at::Tensor y = op(x, options);
  y.backward(problem.grad_y.to(rows));
  return {.y = y.detach(),
          .grad_x = x.grad(),
          .grad_weight = options.weight.grad(),
          .grad_bias = options.bias.grad(),
          .grad_residual = options.residual ? options.residual->grad() : at::Tensor(),
          .running_mean = options.running_mean,
          .running_var = options.running_var};
}

double error_of(const at::Tensor& got, const at::Tensor& reference) {
  if (!reference.defined() || !got.defined()) return got.defined() == reference.defined() ? 0 : 1e30;
  return (got.to(at::kDouble) - reference).abs().max().item<double>();
}

/// A reference in double of the very same stored numbers; the kernels may be as far from it as ATen's own, or one
/// rounding of the stored type.
void expect_as_good_as_aten(const Problem& problem, std::string_view activation, at::ScalarType rows) {
  Problem stored = problem;
  for (at::Tensor* tensor : {&stored.x, &stored.residual, &stored.grad_y}) {
    if (tensor->defined()) *tensor = tensor->to(rows).to(at::kFloat);
  }
  const Seen reference = run(by_aten, stored, activation, at::kDouble, at::kDouble);
  const Seen aten = run(by_aten, stored, activation, rows, at::kFloat);
  const Seen ours = run(batch_norm_act, stored, activation, rows, at::kFloat);
  const auto check = [&](const char* what, at::Tensor Seen::*member, double unit, double of_terms = 0) {
    const at::Tensor& expected = reference.*member;
    const double scale = expected.defined() ? expected.abs().max().item<double>() : 0;
    EXPECT_LE(error_of(ours.*member, expected), error_of(aten.*member, expected) + unit * scale + of_terms) << what;
    EXPECT_EQ((ours.*member).defined(), expected.defined()) << what;
  };
  const double unit = rows == at::kFloat ? 3e-7 : 4e-3;  // relative to the largest element: a few roundings
  check("y", &Seen::y, unit);
  check("grad_x", &Seen::grad_x, unit);
  check("grad_residual", &Seen::grad_residual, unit);
  // A sum rounds with what it adds up; that of the weight is multiplied by statistics, which without vectors are a few
  // roundings off.
  const double of_terms = 1.2e-7 * stored.grad_y.abs().sum({0, 2, 3}).max().item<double>();
  check("grad_weight", &Seen::grad_weight, core::is_isa_enabled(core::Isa::avx2) ? 0 : 3e-7, of_terms);
  check("grad_bias", &Seen::grad_bias, 0, of_terms);
  check("running_mean", &Seen::running_mean, 3e-7);
  check("running_var", &Seen::running_var, 3e-7);
}

using Case = std::tuple<std::string, bool, at::ScalarType>;
class BatchNormActOp : public ::testing::TestWithParam<Case> {};

TEST_P(BatchNormActOp, IsAsCloseToDoubleAsAten) {
  const auto& [activation, has_residual, rows] = GetParam();
  for (const int64_t channels : {1, 5, 16, 40, 64}) {
    SCOPED_TRACE(channels);
    expect_as_good_as_aten(Problem({3, channels, 5, 7}, has_residual), activation, rows);
  }
}

/// Rows are worked on in ranges of about 128 KiB, and at most 1,024 rows: these have several, the last one partial.
TEST_P(BatchNormActOp, JoinsTheStatisticsOfSeveralRanges) {
  const auto& [activation, has_residual, rows] = GetParam();
  for (const std::array<int64_t, 4> sizes : {std::array<int64_t, 4>{3, 70, 40, 41}, {2, 1, 37, 41}, {1, 600, 9, 8}}) {
    SCOPED_TRACE(sizes[1]);
    expect_as_good_as_aten(Problem(sizes, has_residual), activation, rows);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, BatchNormActOp,
                         ::testing::Combine(::testing::Values("none", "relu", "relu6", "silu"), ::testing::Bool(),
                                            ::testing::Values(at::kFloat, at::kBFloat16)));

TEST(BatchNormAct, RepeatsItsBitsForAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  const Problem problem({3, 64, 40, 41}, true);  // ten ranges
  at::set_num_threads(1);
  const Seen one = run(batch_norm_act, problem, "relu", at::kFloat, at::kFloat);
  at::set_num_threads(2);
  const Seen two = run(batch_norm_act, problem, "relu", at::kFloat, at::kFloat);
  at::set_num_threads(before);
  for (at::Tensor Seen::*member : {&Seen::y, &Seen::grad_x, &Seen::grad_weight, &Seen::grad_bias, &Seen::running_var})
    EXPECT_TRUE(is_equal(one.*member, two.*member));
}

TEST(BatchNormAct, TakesWhatItsKernelsDoNotByAtensOps) {
  const at::Tensor x = normal({2, 4, 3, 3}, 1);  // contiguous
  BatchNormAct options{.weight = at::ones({4}), .bias = at::zeros({4}), .activation = "relu"};
  EXPECT_TRUE(is_equal(batch_norm_act(x, options), by_aten(x, options)));
  options.training = false;
  options.running_mean = at::full({4}, 0.5), options.running_var = at::full({4}, 2.0);
  const at::Tensor expected = at::batch_norm(x, options.weight, options.bias, options.running_mean, options.running_var,
                                             false, 0.1, 1e-5, false);
  EXPECT_TRUE(is_equal(batch_norm_act(x.contiguous(at::MemoryFormat::ChannelsLast), options), expected.relu()));
  EXPECT_EQ(options.running_mean[0].item<float>(), 0.5F);
  const at::Tensor wide = normal({2, 4, 3, 3}, 1).to(at::kDouble).contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_EQ(batch_norm_act(wide, {}).scalar_type(), at::kDouble);
}

TEST(BatchNormAct, LeavesParametersOfAnotherDeviceToAten) {
  const at::Tensor x = normal({2, 4, 3, 3}, 1).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor elsewhere = at::ones({4}, at::TensorOptions().device(at::kMeta));
  EXPECT_THROW(batch_norm_act(x, {.weight = elsewhere, .bias = elsewhere}), c10::Error);
}

TEST(BatchNormAct, TakesAResidualOfAnotherTypeAsAtenDoes) {
  const at::Tensor x = normal({2, 4, 3, 3}, 1).to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor residual = normal({2, 4, 3, 3}, 2).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor y = batch_norm_act(x, {.residual = residual, .activation = "relu"});
  EXPECT_TRUE(is_equal(y, by_aten(x, {.residual = residual, .activation = "relu"})));
}

TEST(BatchNormAct, GivesGradientsOnlyToWhatExists) {
  const at::Tensor x = leaf(normal({2, 4, 3, 3}, 1), at::kFloat);
  batch_norm_act(x, {.activation = "relu"}).sum().backward();
  EXPECT_TRUE(x.grad().defined());
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(batch_norm_act(x, {}).requires_grad());
}

TEST(BatchNormAct, RefusesUnknownActivationsAndSecondDerivatives) {
  const at::Tensor x = leaf(normal({2, 4, 3, 3}, 1), at::kFloat);
  EXPECT_NE(message_of<InvalidArgument>([&] { batch_norm_act(x, {.activation = "gelu"}); }).find("'gelu'"),
            std::string::npos);
  const at::Tensor y = batch_norm_act(x, {.activation = "relu"}).square().sum();
  const std::string message = message_of<Unsupported>([&] { y.backward({}, true, true); });
  EXPECT_NE(message.find("without fusion"), std::string::npos);
}

}  // namespace
}  // namespace limbeck::fused
