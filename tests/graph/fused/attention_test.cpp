#include "limbeck/graph/fused/attention/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ostream>
#include <vector>

#include "limbeck/core/cpu.h"
#include "limbeck/core/error.h"
#include "limbeck/graph/fused/attention/unbind.h"

namespace limbeck::fused {

namespace {

struct Case {
  int64_t batch, heads, queries, keys, width;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.batch << "x" << c.heads << ", " << c.queries << " queries, " << c.keys << " keys, width " << c.width;
}

/// One of all; below, at and above vectors, tiles and blocks of queries; one key; more keys than a block has queries.
const Case kCases[] = {{1, 1, 1, 1, 1},     {2, 3, 50, 50, 64},  {2, 2, 7, 3, 5},  {1, 2, 100, 197, 40},
                       {1, 1, 49, 300, 20}, {2, 1, 48, 17, 130}, {3, 2, 5, 1, 16}, {1, 4, 97, 64, 256}};

struct Problem {
  at::Tensor query, key, value, output_gradient;
  double scale;
};

/// Heads lie side by side in rows of queries, keys and values, as a linear layer makes them.
Problem make_problem(const Case& c, at::ScalarType dtype) {
  at::manual_seed(5);
  const auto draw = [&](int64_t rows) {
    return at::randn({c.batch, rows, c.heads, c.width}).to(dtype).transpose(1, 2);
  };
  return {.query = draw(c.queries),
          .key = draw(c.keys),
          .value = draw(c.keys),
          .output_gradient = draw(c.queries),
          .scale = 1 / std::sqrt(static_cast<double>(c.width))};
}

using Results = std::array<at::Tensor, 3>;  // gradients of query, key and value

struct Reference {
  AttentionResult result;
  Results gradients;
};

/// By the definition, in float64, of what the problem's tensors hold.
Reference reference(const Problem& problem) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& tensor : {problem.query, problem.key, problem.value})
    leaves.push_back(tensor.to(at::kDouble).detach().requires_grad_());
  const at::Tensor products = at::matmul(leaves[0], leaves[1].transpose(2, 3)) * problem.scale;
  const at::Tensor output = at::matmul(at::softmax(products, -1), leaves[2]);
  const auto gradients = torch::autograd::grad({output}, leaves, {problem.output_gradient.to(at::kDouble)});
  return {.result = {.output = output.detach().to(problem.query.scalar_type()),
                     .log_sums = at::logsumexp(products.detach(), {3}).to(at::kFloat)},
          .gradients = {gradients[0], gradients[1], gradients[2]}};
}

Results run(const Problem& p, core::Isa isa) {
  const AttentionResult result = reference(p).result;
  const AttentionGradients made = attention_backward(p.output_gradient, p.query, p.key, p.value, result, p.scale, isa);
  return {made.query, made.key, made.value};
}

std::vector<core::Isa> tiers() {
  std::vector<core::Isa> found = {core::Isa::portable};
  for (const core::Isa isa : {core::Isa::avx2, core::Isa::avx512}) {
    if (core::is_isa_enabled(isa)) found.push_back(isa);
  }
  return found;
}

/// bfloat16 rounds to 2^-9 what comes out, and the output that the backward pass reads.
TEST(AttentionGradients, AreThoseOfFloat64ToRounding) {
  for (const auto& [dtype, tolerance] : {std::pair(at::kFloat, 3e-6), std::pair(at::kBFloat16, 8e-3)}) {
    for (const Case& c : kCases) {
      const Problem problem = make_problem(c, dtype);
      const Results expected = reference(problem).gradients;
      for (const core::Isa isa : tiers()) {
        const Results made = run(problem, isa);
        for (std::size_t i = 0; i < made.size(); ++i) {
          EXPECT_EQ(made[i].scalar_type(), dtype);
          const double scale = std::max(1.0, expected[i].abs().max().item<double>());
          const double error = (made[i].to(at::kDouble) - expected[i]).abs().max().item<double>();
          EXPECT_LE(error, tolerance * scale) << i << ": " << c << ", " << core::isa_name(isa);
        }
      }
    }
  }
}

TEST(AttentionGradients, HaveTheSameBitsInEveryTierAndForAnyNumberOfThreads) {
  const int threads = at::get_num_threads();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const Case& c : kCases) {
      const Problem problem = make_problem(c, dtype);
      at::set_num_threads(1);
      const Results plain = run(problem, core::Isa::portable);
      at::set_num_threads(2);
      for (const core::Isa isa : tiers()) {
        const Results made = run(problem, isa);
        for (std::size_t i = 0; i < made.size(); ++i)
          EXPECT_TRUE(at::equal(made[i], plain[i])) << i << ": " << c << ", " << core::isa_name(isa);
      }
      at::set_num_threads(threads);
    }
  }
}

TEST(AttentionGradients, TakeTensorsInAnyOrderOfMemory) {
  const Problem problem = make_problem({2, 3, 9, 11, 24}, at::kFloat);
  Problem other = problem;
  for (at::Tensor* tensor : {&other.query, &other.key, &other.value, &other.output_gradient})
    *tensor = tensor->transpose(2, 3).contiguous().transpose(2, 3);
  const Results expected = run(problem, core::active_isa()), made = run(other, core::active_isa());
  for (std::size_t i = 0; i < made.size(); ++i) EXPECT_TRUE(at::equal(made[i], expected[i])) << i;
}

TEST(AttentionGradients, AreFiniteForLargeProducts) {
  Problem problem = make_problem({1, 1, 4, 6, 8}, at::kFloat);
  problem.query = problem.query * 1000;
  const Results expected = reference(problem).gradients, made = run(problem, core::active_isa());
  for (std::size_t i = 0; i < made.size(); ++i)
    EXPECT_TRUE(at::allclose(made[i].to(at::kDouble), expected[i], 1e-3, 1e-2)) << i;
}

/// Query, key and value of one tensor: their gradients are one too, without a copy.
TEST(AttentionGradients, LieTogetherWhereTheirTensorsDo) {
  const Problem apart = make_problem({2, 3, 10, 10, 16}, at::kFloat);
  Problem together = apart;
  const std::vector<at::Tensor> parts = at::stack({apart.query, apart.key, apart.value}).unbind(0);
  together.query = parts[0], together.key = parts[1], together.value = parts[2];
  const Results one = run(together, core::active_isa()), three = run(apart, core::active_isa());
  EXPECT_TRUE(neighbours({one.begin(), one.end()}));
  EXPECT_FALSE(neighbours({three.begin(), three.end()}));
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], three[i])) << i;
}

/// As autograd sees it, against ATen's op: float32, bfloat16 by autocast, a scale of the caller's, float64 by ATen.
TEST(Attention, StandsForAtensOp) {
  struct Setting {
    at::ScalarType dtype;
    bool is_autocast;
    std::optional<double> scale;
    double tolerance;
  };
  for (const Setting& s : {Setting{at::kFloat, false, {}, 1e-5}, Setting{at::kFloat, false, 0.3, 1e-5},
                           Setting{at::kFloat, true, {}, 3e-2}, Setting{at::kDouble, false, {}, 1e-12}}) {
    const Problem p = make_problem({2, 3, 10, 12, 16}, s.dtype);
    const auto gradients_of = [&](const auto& op) {
      std::vector<at::Tensor> leaves;
      for (const at::Tensor& tensor : {p.query, p.key, p.value}) leaves.push_back(tensor.detach().requires_grad_());
      at::autocast::set_autocast_enabled(at::kCPU, s.is_autocast);
      const at::Tensor output = op(leaves[0], leaves[1], leaves[2]);
      at::autocast::set_autocast_enabled(at::kCPU, false);
      at::autocast::clear_cache();
      std::vector<at::Tensor> result = torch::autograd::grad({output.square().sum()}, leaves);
      result.push_back(output.detach());
      return result;
    };
    const auto made = gradients_of(
        [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) { return attention(q, k, v, s.scale); });
    const auto expected = gradients_of([&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
      return at::scaled_dot_product_attention(q, k, v, {}, 0.0, false, s.scale);
    });
    for (std::size_t i = 0; i < made.size(); ++i) {
      EXPECT_EQ(made[i].scalar_type(), expected[i].scalar_type());
      EXPECT_TRUE(at::allclose(made[i].to(at::kDouble), expected[i].to(at::kDouble), s.tolerance, s.tolerance)) << i;
    }
  }
}

TEST(Attention, RefusesTheGradientOfItsGradient) {
  const at::Tensor x = at::randn({1, 1, 4, 8}).requires_grad_();
  const at::Tensor output = attention(x, x, x, {});
  const auto differentiate = [&] { torch::autograd::grad({output.sum()}, {x}, {}, true, true); };
  if (core::is_isa_enabled(core::Isa::avx2)) {
    EXPECT_THROW(differentiate(), Unsupported);
  } else {
    EXPECT_NO_THROW(differentiate()) << "without vectors the op is ATen's, which has that gradient";
  }
}

TEST(AttentionGradients, RefuseWhatTheirKernelsDoNotTake) {
  const at::Tensor x = at::randn({1, 2, 4, 8});
  const AttentionResult result{.output = x, .log_sums = at::zeros({1, 2, 4})};
  EXPECT_THROW(attention_backward(x, x.to(at::kDouble), x, x, result, 1), InvalidArgument);
  EXPECT_THROW(attention_backward(x, x, x.narrow(1, 0, 1), x, result, 1), InvalidArgument);
  EXPECT_THROW(attention_backward(x[0], x[0], x[0], x[0], result, 1), InvalidArgument);
}

}  // namespace

}  // namespace limbeck::fused
