#include "limbeck/train/optim/torch_optimizer_file.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/graph/weights/pth.h"
#include "limbeck/graph/weights/pth_writer.h"
#include "tests/support/mutation.h"

// That Python reads what is written, and the other way round: torch_peer_test.py.
namespace limbeck::train {
namespace {

namespace fs = std::filesystem;
using weights::SavedDict;
using weights::SavedList;
using weights::SavedNone;
using weights::SavedValue;

SavedValue text(const char* value) { return {std::string(value)}; }

SavedDict dict(std::initializer_list<std::pair<const char*, SavedValue>> entries) {
  SavedDict result;
  for (const auto& [key, value] : entries) result.set(text(key), value);
  return result;
}

/// A file that is gone with the test.
class TorchOptimizerFile : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const SavedValue& value) {
    const fs::path path = folder_ / "optimizer.pth";
    weights::write_pth(path, value);
    return path.string();
  }

  static std::vector<NamedTensor> two_parameters() {
    return {{"w", at::ones({2, 3}).set_requires_grad(true)}, {"b", at::ones({3}).set_requires_grad(true)}};
  }

  std::string message_of_load(const SavedValue& value, OptimizerKind kind = OptimizerKind::sgd,
                              const TorchOptimizerOptions& options = {}) {
    Optimizer optimizer(two_parameters(), {.kind = kind});
    try {
      load_torch_optimizer(write(value), optimizer, options);
    } catch (const Error& error) {
      EXPECT_TRUE(optimizer.state().empty());
      EXPECT_EQ(optimizer.groups()[0].options.lr, 0.1) << "settings changed by a refused load";
      return error.what();
    }
    return "nothing was thrown";
  }

  const fs::path folder_ = fs::temp_directory_path() / ("torch_optimizer_file_" + std::to_string(::getpid()));
};

SavedDict sgd_group(int num_parameters) {
  SavedList ids;
  for (int64_t i = 0; i < num_parameters; ++i) ids.items.push_back({i});
  return dict({{"lr", {0.3}},
               {"momentum", {0.5}},
               {"dampening", {int64_t{0}}},
               {"weight_decay", {int64_t{0}}},
               {"nesterov", {false}},
               {"foreach", {SavedNone{}}},
               {"params", {ids}}});
}

/// A dictionary of SGD over two parameters, whose first has the momentum given.
SavedDict sgd_dict(const SavedDict& group, const SavedValue& momentum) {
  SavedDict states;
  states.set({int64_t{0}}, {dict({{"momentum_buffer", momentum}})});
  states.set({int64_t{1}}, {dict({{"momentum_buffer", {SavedNone{}}}})});
  return dict({{"state", {states}}, {"param_groups", {SavedList{{{group}}}}}});
}

const at::Tensor kMomentum = at::full({2, 3}, 2.0F);

TEST_F(TorchOptimizerFile, GivesMomentumAndSettingsOfAnyPlaceInACheckpoint) {
  const SavedDict optimizer_dict = sgd_dict(sgd_group(2), {kMomentum});
  const SavedValue lightning = {dict({{"optimizer_states", {SavedList{{{optimizer_dict}}}}}})};
  const SavedValue nested = {dict({{"trainer", {dict({{"sgd", {optimizer_dict}}})}}})};
  const std::pair<SavedValue, std::string> files[] = {{{optimizer_dict}, ""},
                                                      {{dict({{"optimizer", {optimizer_dict}}})}, ""},
                                                      {lightning, ""},
                                                      {nested, "trainer.sgd"}};
  for (const auto& [file, key] : files) {
    Optimizer optimizer(two_parameters(), {});
    load_torch_optimizer(write(file), optimizer, {.key = key});
    ASSERT_EQ(optimizer.state().size(), 1U);
    EXPECT_EQ(optimizer.state()[0].name, "momentum_buffer/w");
    EXPECT_TRUE(at::equal(optimizer.state()[0].tensor, kMomentum));
    EXPECT_EQ(optimizer.groups()[0].options.lr, 0.3);
    EXPECT_EQ(optimizer.groups()[0].options.momentum, 0.5);
  }
}

TEST_F(TorchOptimizerFile, LeavesOwnSettingsWhenAsked) {
  Optimizer optimizer(two_parameters(), {.lr = 0.7});
  load_torch_optimizer(write({sgd_dict(sgd_group(2), {kMomentum})}), optimizer, {.settings = LoadedSettings::own});
  EXPECT_EQ(optimizer.groups()[0].options.lr, 0.7);
  EXPECT_EQ(optimizer.state().size(), 1U);
}

TEST_F(TorchOptimizerFile, NamesInTheFileCountBeforeTheOrderGiven) {
  SavedDict group = sgd_group(2);
  group.set(text("param_names"), {SavedList{{text("b"), text("w")}}});
  Optimizer optimizer(two_parameters(), {});
  load_torch_optimizer(write({sgd_dict(group, {at::ones({3})})}), optimizer, {.parameter_order = {"w", "b"}});
  EXPECT_EQ(optimizer.state()[0].name, "momentum_buffer/b");
}

TEST_F(TorchOptimizerFile, RefusesWhatDoesNotFitAndNamesIt) {
  const auto expect = [&](const std::string& message, const std::string& part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect(message_of_load({sgd_dict(sgd_group(2), {at::ones({7})})}), "'momentum_buffer/w'");
  expect(message_of_load({sgd_dict(sgd_group(3), {kMomentum})}), "has 3 parameters, but the order given has 2");
  expect(message_of_load({sgd_dict(sgd_group(2), {kMomentum})}, OptimizerKind::adamw),
         "is of sgd, the optimizer of kind adamw");
  expect(message_of_load({dict({{"model_state_dict", {dict({})}}})}), "no optimizer dictionary");
  expect(message_of_load({sgd_dict(sgd_group(2), {kMomentum})}, OptimizerKind::sgd, {.key = "optim"}),
         "found under 'optim'");
  expect(message_of_load({sgd_dict(sgd_group(2), {0.5})}), "needs a tensor as 'momentum_buffer' of parameter 'w'");
  expect(message_of_load({sgd_dict(sgd_group(2), {kMomentum})}, OptimizerKind::sgd, {.parameter_order = {"w", "x"}}),
         "parameter 'b' is in none of its groups");
  const SavedDict rprop =
      dict({{"lr", {0.1}}, {"etas", {SavedNone{}}}, {"params", {SavedList{{{int64_t{0}}, {int64_t{1}}}}}}});
  expect(message_of_load({sgd_dict(rprop, {kMomentum})}),
         "none of SGD, Adam, AdamW and Adagrad: its groups have lr, etas");
}

TEST_F(TorchOptimizerFile, RefusesAStepThatCountsNothingAndNamesItsParameter) {
  const SavedDict group = dict({{"lr", {0.1}},
                                {"betas", {SavedList{{{0.9}, {0.999}}}}},
                                {"eps", {1e-8}},
                                {"weight_decay", {0.0}},
                                {"amsgrad", {false}},
                                {"params", {SavedList{{{int64_t{0}}, {int64_t{1}}}}}}});
  const auto message_of_step = [&](const SavedValue& step) {
    const SavedDict state = dict({{"exp_avg", {at::zeros({3})}}, {"exp_avg_sq", {at::zeros({3})}}, {"step", step}});
    SavedDict states;
    states.set({int64_t{1}}, {state});
    return message_of_load({dict({{"state", {states}}, {"param_groups", {SavedList{{{group}}}}}})},
                           OptimizerKind::adam);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const SavedValue& step : {SavedValue{nan}, {1e300}, {-1.0}, {int64_t{-1}}, {1.5}, {at::scalar_tensor(nan)}}) {
    const std::string message = message_of_step(step);
    EXPECT_NE(message.find("needs a number of updates as 'step' of parameter 'b', got "), std::string::npos) << message;
  }
  EXPECT_EQ(message_of_step({at::scalar_tensor(7.0F)}), "nothing was thrown");
}

TEST_F(TorchOptimizerFile, RefusesAGroupThatTheFileSplits) {
  SavedDict first = sgd_group(1), second = sgd_group(1);
  second.values.back() = {SavedList{{{int64_t{1}}}}};
  const SavedDict both = dict({{"state", {SavedDict{}}}, {"param_groups", {SavedList{{{first}, {second}}}}}});
  const std::string message = message_of_load({both});
  EXPECT_NE(message.find("'w' and 'b' are in two groups there and in one here"), std::string::npos) << message;
}

TEST_F(TorchOptimizerFile, IsReadAsItWasWritten) {
  for (const OptimizerKind kind :
       {OptimizerKind::sgd, OptimizerKind::adam, OptimizerKind::adamw, OptimizerKind::adagrad}) {
    const std::vector<NamedTensor> parameters = two_parameters();
    const OptimizerOptions options{.kind = kind,
                                   .lr = 0.2,
                                   .weight_decay = 0.01,
                                   .momentum = 0.8,
                                   .dampening = 0.1,
                                   .beta1 = 0.7,
                                   .eps = 1e-6,
                                   .maximize = true};
    Optimizer written(parameters, options), read(parameters, {.kind = kind});
    for (const NamedTensor& parameter : parameters) parameter.tensor.mutable_grad() = at::ones_like(parameter.tensor);
    written.step();
    const std::string path = (folder_ / "written.pth").string();
    save_torch_optimizer(path, written, std::vector<std::string>{"frozen", "b", "w"});
    load_torch_optimizer(path, read, {.parameter_order = {"frozen", "b", "w"}});
    const std::vector<NamedTensor> expected = written.state(), actual = read.state();
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(actual[i].name, expected[i].name);
      EXPECT_TRUE(at::equal(actual[i].tensor, expected[i].tensor)) << expected[i].name;
    }
    const OptimizerOptions& settings = read.groups()[0].options;
    EXPECT_EQ(settings.lr, 0.2);
    EXPECT_EQ(settings.weight_decay, 0.01);
    EXPECT_TRUE(settings.maximize);
  }
}

TEST_F(TorchOptimizerFile, IsNotWrittenForWhatPyTorchLacks) {
  const Optimizer lamb(two_parameters(), {.kind = OptimizerKind::lamb});
  EXPECT_THROW(save_torch_optimizer(folder_ / "lamb.pth", lamb), Unsupported);
  const Optimizer sgd(two_parameters(), {});
  EXPECT_THROW(save_torch_optimizer(folder_ / "sgd.pth", sgd, std::vector<std::string>{"w"}), InvalidArgument);
  EXPECT_THROW(save_torch_optimizer(folder_ / "sgd.pth", sgd, std::vector<std::string>{"w", "b", "w"}),
               InvalidArgument);
}

TEST_F(TorchOptimizerFile, AnswersMutationsWithErrorsAlone) {
  const std::string original = core::read_file(write({sgd_dict(sgd_group(2), {kMomentum})}), 1 << 20);
  const fs::path path = folder_ / "mutated.pth";
  const auto counts = testing::fuzz_reader(original,
                                           [&](const std::string& bytes) {
                                             core::write_file(path, bytes);
                                             Optimizer optimizer(two_parameters(), {});
                                             load_torch_optimizer(path.string(), optimizer);
                                           },
                                           {.iterations = 150});
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

}  // namespace
}  // namespace limbeck::train
