// The cases in which others train nothing, silently: each against a hand-written eager loop.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <optional>

#include "limbeck/train/optimize.h"
#include "tests/train/set_networks.h"

namespace limbeck::train {
namespace {

using namespace testing;

constexpr int kSteps = 20;

enum class Case : uint8_t { one, teacher_first, student_first, two_optimizers, student_and_adapter };

struct Setting {
  Case which = Case::one;
  Precision precision = Precision::fp32;
  Kind kind = Kind::sgd;
  Buffers buffers = Buffers::keep;  // of the teacher
};

/// How far 20 steps may be from eager's. fp32: the acceptance rule, which covers the rounding of a fused update. bf16:
/// one unit in the last of its 8 bits, which a weight close to a rounding boundary moves an activation by.
double tolerance(Precision precision) { return precision == Precision::fp32 ? 1e-6 : 1.0 / 256; }

struct Networks {
  Model student = classifier(6, 1), teacher = classifier(8, 2), adapter = linear_adapter(6, 8, 3);
};

bool has_teacher(const Setting& setting) { return setting.which != Case::one && setting.which != Case::two_optimizers; }
bool has_adapter(const Setting& setting) { return setting.which == Case::student_and_adapter; }

std::vector<OptimizerPtr> optimizers_of(const Setting& setting, const Networks& nets) {
  if (setting.which == Case::two_optimizers) {
    return {make_optimizer(setting.kind, nets.student.parameters("^(?!fc)")),
            make_optimizer(Kind::adamw, nets.student.parameters("^fc"))};
  }
  std::vector<at::Tensor> parameters = nets.student.parameters();
  if (has_adapter(setting)) parameters = joined(parameters, nets.adapter.parameters());
  return {make_optimizer(setting.kind, parameters)};
}

/// What one step compares: the teacher's and adapter's parts are undefined where the case has none.
struct Pass {
  HandOutputs student{}, teacher{};
  at::Tensor adapted{};
};

at::Tensor loss_of(const Pass& pass, const at::Tensor& labels) {
  at::Tensor loss = at::cross_entropy_loss(pass.student.logits.to(at::kFloat), labels);
  if (pass.teacher.logits.defined()) {
    loss = loss + at::mse_loss(pass.student.logits.to(at::kFloat), pass.teacher.logits.to(at::kFloat));
  }
  if (pass.adapted.defined()) loss = loss + at::mse_loss(pass.adapted.to(at::kFloat), pass.teacher.pool.to(at::kFloat));
  return loss;
}

// --- by the set --------------------------------------------------------------------------------------------------

std::vector<SetModel> models_of(const Setting& setting, const Networks& nets) {
  const SetModel student{"student", nets.student, Role::train};
  const SetModel teacher{"teacher", nets.teacher, frozen_train(setting.buffers)};
  switch (setting.which) {
    case Case::teacher_first:
      return {teacher, student};
    case Case::student_first:
      return {student, teacher};
    case Case::student_and_adapter:
      return {teacher, student, {"adapter", nets.adapter, Role::train}};
    default:
      return {student};
  }
}

Pass pass_of_set(ModelSet& set, const Setting& setting, const at::Tensor& x) {
  Pass pass;
  const auto run_teacher = [&] {
    const Outputs outputs = set.forward("teacher", x, {.taps = {"pool"}});
    pass.teacher = {.logits = outputs.logits(), .pool = outputs.tap("pool")};
  };
  if (has_teacher(setting) && setting.which != Case::student_first) run_teacher();
  const Outputs outputs = set.forward("student", x, {.taps = {"pool"}});
  pass.student = {.logits = outputs.logits(), .pool = outputs.tap("pool")};
  if (setting.which == Case::student_first) run_teacher();
  if (has_adapter(setting)) pass.adapted = set.forward("adapter", pass.student.pool)["y"];
  return pass;
}

void train_by_set(const Setting& setting, const Networks& nets) {
  const std::vector<OptimizerPtr> optimizers = optimizers_of(setting, nets);
  std::vector<OptimizerRef> refs;
  for (const OptimizerPtr& optimizer : optimizers) refs.emplace_back(optimizer.get());
  ModelSet set = optimize(models_of(setting, nets), refs, setting.precision);
  for (int step = 0; step < kSteps; ++step) {
    const Batch batch = batch_of(static_cast<uint64_t>(100 + step));
    set.backward(loss_of(pass_of_set(set, setting, batch.x), batch.y));
    EXPECT_TRUE(set.step().is_updated);
  }
}

// --- by hand -----------------------------------------------------------------------------------------------------

HandOutputs teacher_by_hand(const Setting& setting, const Model& teacher, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  const Model run = setting.buffers == Buffers::keep ? teacher.clone() : teacher;
  return classifier_by_hand(run, x, true);
}

Pass pass_by_hand(const Setting& setting, const Networks& nets, const at::Tensor& x) {
  const std::optional<Autocast> autocast =
      setting.precision == Precision::bf16 ? std::optional<Autocast>(std::in_place, at::kBFloat16) : std::nullopt;
  Pass pass;
  if (has_teacher(setting) && setting.which != Case::student_first) {
    pass.teacher = teacher_by_hand(setting, nets.teacher, x);
  }
  pass.student = classifier_by_hand(nets.student, x, true);
  if (setting.which == Case::student_first) pass.teacher = teacher_by_hand(setting, nets.teacher, x);
  if (has_adapter(setting)) pass.adapted = adapter_by_hand(nets.adapter, pass.student.pool);
  return pass;
}

void train_by_hand(const Setting& setting, const Networks& nets) {
  const std::vector<OptimizerPtr> optimizers = optimizers_of(setting, nets);
  for (int step = 0; step < kSteps; ++step) {
    const Batch batch = batch_of(static_cast<uint64_t>(100 + step));
    loss_of(pass_by_hand(setting, nets, batch.x), batch.y).backward();
    for (const OptimizerPtr& optimizer : optimizers) step_eagerly(*optimizer);
  }
}

// --- the table ---------------------------------------------------------------------------------------------------

class OptimizeCases : public ::testing::TestWithParam<Setting> {};

TEST_P(OptimizeCases, TrainsAsTheEagerLoop) {
  const Networks nets, eager, before;
  const std::vector<at::Tensor> teacher_before = snapshot(nets.teacher);
  seed_everything(7);
  train_by_set(GetParam(), nets);
  seed_everything(7);
  train_by_hand(GetParam(), eager);

  const double limit = tolerance(GetParam().precision);
  EXPECT_LE(largest_difference(nets.student, eager.student), limit);
  EXPECT_EQ(unmoved_parameters(nets.student, before.student), std::vector<std::string>{});
  if (has_adapter(GetParam())) {
    EXPECT_LE(largest_difference(nets.adapter, eager.adapter), limit);
    EXPECT_EQ(unmoved_parameters(nets.adapter, before.adapter), std::vector<std::string>{});
  }
  if (!has_teacher(GetParam())) return;
  EXPECT_LE(largest_difference(nets.teacher, eager.teacher), limit);
  EXPECT_EQ(unmoved_parameters(nets.teacher, before.teacher).size(), nets.teacher.parameters().size());
  EXPECT_EQ(is_bit_equal(nets.teacher, teacher_before), GetParam().buffers == Buffers::keep);
}

/// Every case, precision and optimizer; both kinds of teachers where there is one.
std::vector<Setting> table() {
  std::vector<Setting> settings;
  for (const Case which :
       {Case::one, Case::teacher_first, Case::student_first, Case::two_optimizers, Case::student_and_adapter}) {
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
      for (const Kind kind : {Kind::sgd, Kind::adamw}) {
        settings.push_back({which, precision, kind, Buffers::keep});
        if (has_teacher(settings.back())) settings.push_back({which, precision, kind, Buffers::update});
      }
    }
  }
  return settings;
}

std::string name_of(const ::testing::TestParamInfo<Setting>& info) {
  static const char* const kCases[] = {"one", "teacher_first", "student_first", "two_optimizers",
                                       "student_and_adapter"};
  const Setting& setting = info.param;
  return std::string(kCases[static_cast<int>(setting.which)]) + "_" + std::string(precision_name(setting.precision)) +
         (setting.kind == Kind::sgd ? "_sgd" : "_adamw") + (setting.buffers == Buffers::keep ? "_keep" : "_update");
}

INSTANTIATE_TEST_SUITE_P(Table, OptimizeCases, ::testing::ValuesIn(table()), name_of);

/// The other optimizers on one model: with a fused rule, without one, and a user's subclass.
class OptimizeKinds : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, OptimizeKinds,
                         ::testing::Values(Kind::adam, Kind::adagrad, Kind::rmsprop, Kind::sgd_subclass));

TEST_P(OptimizeKinds, TrainAsTheEagerLoop) {
  const Setting setting{.kind = GetParam()};
  const Networks nets, eager, before;
  seed_everything(7);
  train_by_set(setting, nets);
  seed_everything(7);
  train_by_hand(setting, eager);
  EXPECT_LE(largest_difference(nets.student, eager.student), tolerance(Precision::fp32));
  EXPECT_EQ(unmoved_parameters(nets.student, before.student), std::vector<std::string>{});
}

}  // namespace
}  // namespace limbeck::train
