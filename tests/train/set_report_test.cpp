#include "limbeck/train/sets/set_report.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <sstream>

#include "limbeck/core/error.h"
#include "limbeck/core/table.h"
#include "limbeck/train/optim/optimizer.h"
#include "limbeck/train/optimize.h"
#include "tests/train/set_networks.h"

namespace limbeck::train {
namespace {

using namespace testing;

SetReport report_of(Precision precision) {
  const Model student = classifier(6, 1);
  Model teacher = classifier(8, 2);
  teacher.freeze("^conv1");
  const OptimizerPtr body = make_optimizer(Kind::sgd, student.parameters("^(?!fc.bias)"));
  const OptimizerPtr other = make_optimizer(Kind::rmsprop, teacher.parameters("^fc"));
  ModelSet set = optimize({{"teacher", teacher, frozen_train(Buffers::update)}, {"student", student}},
                          {body.get(), other.get()}, precision);
  set.backward(set.forward("student", batch_of(1).x).logits().sum());
  set.step();
  return set.report();
}

TEST(SetReport, SaysWhatWasDoneAndWhatWasLeft) {
  EXPECT_EQ(report_of(Precision::fp32).text(),
            "precision fp32\n"
            "  float32 throughout\n"
            "teacher (limbeck::Model), role frozen_train(update)\n"
            "  parameters: 8, of them 0 trained, 1 frozen\n"
            "  fused: 2 times batch_norm + relu\n"
            "student (limbeck::Model), role train\n"
            "  role: no role was given, and an optimizer owns its parameters\n"
            "  parameters: 8, of them 7 trained, 0 frozen\n"
            "  left: 1 parameter that no optimizer owns: fc.bias\n"
            "  fused: 2 times batch_norm + relu\n"
            "torch::optim::SGD\n"
            "  owns: 7 parameters in 1 group of student\n"
            "  fused: fused SGD on the optimizer's own state\n"
            "  state: 1.66 KiB\n"
            "torch::optim::RMSprop\n"
            "  owns: 2 parameters in 1 group of teacher\n"
            "  left: its own step(): there is a fused rule for SGD, Adam, AdamW and Adagrad\n"
            "    only\n"
            "  left: 2 parameters of models that no role trains\n"
            "  warning: [optimize] optimizer 1 (torch::optim::RMSprop) owns no parameter of\n"
            "    a model with the role train: it updates nothing, and is not needed\n");
}

// Seconds of this process's CPUs that a call takes.
template <class Call>
double cpu_seconds(const Call& call) {
  const std::clock_t begin = std::clock();
  call();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

TEST(SetReport, LooksUpTheStateOfEachOfManyGroupsInOneGo) {
  std::vector<NamedTensor> parameters;
  for (int i = 0; i < 600; ++i) parameters.push_back({fmt::format("p{}", i), at::ones({1}).requires_grad_()});
  Optimizer optimizer({parameters.front()}, {.kind = OptimizerKind::sgd, .momentum = 0.9});
  for (std::size_t i = 1; i < parameters.size(); ++i)
    optimizer.add_group({parameters[i]}, {.kind = OptimizerKind::sgd, .momentum = 0.9});
  for (const NamedTensor& parameter : parameters) parameter.tensor.mutable_grad() = at::ones({1});
  optimizer.step();
  const OptimizerRef reference(&optimizer);
  std::size_t found = 0;
  const double all = cpu_seconds([&] { found = optimizer.state().size(); });
  EXPECT_EQ(found, parameters.size());
  const double each = cpu_seconds([&] {
    for (const NamedTensor& parameter : parameters) found -= reference->state_of(parameter.tensor).size();
  });
  EXPECT_EQ(found, 0U);
  EXPECT_LT(each, 50 * all + 0.05) << "one after the other they cost what they cost together, not its square";
}

TEST(SetReport, SaysHowThisMachineComputesBf16) {
  const SetReport report = report_of(Precision::bf16);
  EXPECT_EQ(report.precision_note, describe_precision(Precision::bf16));
  EXPECT_EQ(report.models[1].notes.cast.at(0), "3 convolutions and matrix products run in bf16");
}

TEST(SetReport, FitsEightyColumns) {
  for (const Precision precision : {Precision::fp32, Precision::bf16, Precision::fp16}) {
    std::istringstream lines(report_of(precision).text());
    for (std::string line; std::getline(lines, line);) EXPECT_LE(core::display_width(line), 80U) << line;
  }
}

TEST(SetReport, JsonHoldsTheSame) {
  const SetReport report = report_of(Precision::fp32);
  const core::Json parsed = core::parse_json(report.json().dump());
  const core::JsonView json(parsed, "report");
  EXPECT_EQ(json["precision"].as_string(), "fp32");
  EXPECT_EQ(json["models"][1]["role"].as_string(), "train");
  EXPECT_EQ(json["models"][1]["unowned"].as_strings(), std::vector<std::string>{"fc.bias"});
  EXPECT_EQ(json["models"][0]["frozen"].as_int(), 1);
  EXPECT_TRUE(json["optimizers"][0]["is_fused"].as_bool());
  EXPECT_TRUE(json["optimizers"][1]["is_idle"].as_bool());
  EXPECT_EQ(json["warnings"].size(), 1U);
}

TEST(Precision, ParsesItsNames) {
  for (const Precision precision : {Precision::fp32, Precision::bf16, Precision::fp16}) {
    EXPECT_EQ(parse_precision(precision_name(precision)), precision);
  }
  EXPECT_THROW(parse_precision("int8"), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::train
