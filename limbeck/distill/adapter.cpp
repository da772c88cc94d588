#include "limbeck/distill/adapter.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"

namespace limbeck::distill {

using graph::Argument;
using graph::Builder;
using graph::IntExpr;
using graph::ValueId;

namespace {

bool is_map(const FeatureShape& shape) { return shape.size() == 3; }
int64_t channels(const FeatureShape& shape) { return is_map(shape) ? shape.front() : shape.back(); }

/// Uniform in ±1/sqrt(fan_in), as weights and biases of torch.nn.Conv2d and torch.nn.Linear start.
at::Tensor initial(const std::vector<int64_t>& sizes, int64_t fan_in, at::Generator& generator) {
  const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  return at::empty(sizes).uniform_(-bound, bound, generator).set_requires_grad(true);
}

ValueId conv_and_norm(Builder& builder, ValueId x, int64_t in, int64_t out, at::Generator& generator) {
  ValueId projected, result;
  {
    const auto scope = builder.enter("conv", "torch.nn.modules.conv.Conv2d");
    projected =
        builder.call("aten::conv2d", {x, builder.parameter("conv.weight", initial({out, in, 1, 1}, in, generator))});
  }
  const auto scope = builder.enter("norm", "torch.nn.modules.batchnorm.BatchNorm2d");
  result = builder.call("aten::batch_norm",
                        {projected, builder.parameter("norm.weight", at::ones({out}).set_requires_grad(true)),
                         builder.parameter("norm.bias", at::zeros({out}).set_requires_grad(true)),
                         builder.buffer("norm.running_mean", at::zeros({out})),
                         builder.buffer("norm.running_var", at::ones({out})), false, 0.1, 1e-5, false});
  return result;
}

ValueId linear(Builder& builder, ValueId x, int64_t in, int64_t out, at::Generator& generator) {
  const auto scope = builder.enter("linear", "torch.nn.modules.linear.Linear");
  const ValueId weight = builder.parameter("linear.weight", initial({out, in}, in, generator));
  return builder.call("aten::linear", {x, weight, builder.parameter("linear.bias", initial({out}, in, generator))});
}

}  // namespace

std::string AdapterPlan::to_string() const {
  std::string text = !projects ? "none"
                     : is_map(student)
                         ? fmt::format("1x1 conv {} -> {} + BatchNorm", channels(student), channels(teacher))
                         : fmt::format("linear {} -> {}", channels(student), channels(teacher));
  if (pool_student) text += fmt::format(", student pooled to {}", fmt::join(*pool_student, "x"));
  if (pool_teacher) text += fmt::format(", teacher pooled to {}", fmt::join(*pool_teacher, "x"));
  return text;
}

AdapterPlan plan_adapter(const FeatureShape& student, const FeatureShape& teacher) {
  const bool comparable = student.size() == teacher.size() && !student.empty() && student.size() <= 3 &&
                          (student.size() != 2 || student.front() == teacher.front());
  if (!comparable) {
    fail<Unsupported>(
        "[distill] no adapter brings a student feature [B, {}] to the teacher's [B, {}]: tap two maps, two vectors, or "
        "two token sequences of one length",
        fmt::join(student, ", "), fmt::join(teacher, ", "));
  }
  AdapterPlan plan{.projects = channels(student) != channels(teacher),
                   .pool_student = std::nullopt,
                   .pool_teacher = std::nullopt,
                   .student = student,
                   .teacher = teacher};
  if (!is_map(student)) return plan;
  const FeatureShape smaller{std::min(student[1], teacher[1]), std::min(student[2], teacher[2])};
  if (smaller != FeatureShape{student[1], student[2]}) plan.pool_student = smaller;
  if (smaller != FeatureShape{teacher[1], teacher[2]}) plan.pool_teacher = smaller;
  return plan;
}

std::optional<Model> make_adapter(const AdapterPlan& plan, uint64_t seed) {
  if (!plan.projects) return std::nullopt;
  graph::Graph graph;
  Builder builder(graph);
  graph::Sizes sizes{IntExpr::symbol("B")};
  sizes.insert(sizes.end(), plan.student.begin(), plan.student.end());
  if (plan.pool_student) std::copy(plan.pool_student->begin(), plan.pool_student->end(), sizes.end() - 2);
  const ValueId x = builder.input("feature", sizes);
  const int64_t in = channels(plan.student), out = channels(plan.teacher);
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const ValueId adapted =
      is_map(plan.student) ? conv_and_norm(builder, x, in, out, generator) : linear(builder, x, in, out, generator);
  builder.outputs({{"adapted", adapted}});
  return Model(std::move(graph));
}

at::Tensor pool_to(const at::Tensor& map, const std::optional<FeatureShape>& size) {
  return size ? at::adaptive_avg_pool2d(map, *size) : map;
}

}  // namespace limbeck::distill
