#include "limbeck/graph/weights/state_dict.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "limbeck/core/error.h"
#include "limbeck/graph/weights/pth_writer.h"
#include "limbeck/graph/weights/tensors.h"
#include "tests/graph/weights/golden.h"

namespace limbeck::weights {
namespace {

/// The names, sizes and values of class Net in data/make_data.py.
std::vector<NamedTensor> net() {
  return {{"fc.weight", pattern({2, 3})},
          {"fc.bias", pattern({2})},
          {"bn.weight", pattern({2})},
          {"bn.bias", pattern({2})},
          {"bn.running_mean", pattern({2})},
          {"bn.running_var", pattern({2})},
          {"bn.num_batches_tracked", at::full({}, 7, at::kLong)}};
}

/// Tensors of Net with other values, to be filled.
std::vector<NamedTensor> blank_net() {
  std::vector<NamedTensor> tensors = net();
  for (NamedTensor& entry : tensors) entry.tensor.fill_(100);
  return tensors;
}

bool is_net(const std::vector<NamedTensor>& tensors) {
  const std::vector<NamedTensor> expected = net();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (tensors.size() != expected.size() || tensors[i].name != expected[i].name) return false;
    if (!at::equal(tensors[i].tensor, expected[i].tensor)) return false;
  }
  return true;
}

template <class E, class F>
std::string message_of(F&& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return "no such error";
}

TEST(StateDict, LoadsEveryFileOfOneModel) {
  struct Case {
    const char* file;
    const char* key;
    const char* prefix;
  };
  const Case cases[] = {
      {"state_dict.pth", "", ""},
      {"state_dict_legacy.pth", "", ""},
      {"checkpoint.pth", "model_state_dict", ""},
      {"checkpoint_legacy.pth", "model_state_dict", ""},
      {"data_parallel.pth", "", "module."},
      {"compiled.pth", "state_dict", "_orig_mod.module."},
      {"averaged.pth", "", "module."},
  };
  for (const Case& c : cases) {
    const StateDict state = load_state_dict(golden(c.file));
    EXPECT_TRUE(is_net(state.tensors)) << c.file;
    EXPECT_EQ(state.key, c.key) << c.file;
    EXPECT_EQ(state.stripped_prefix, c.prefix) << c.file;
    EXPECT_EQ(state.source, golden(c.file));
  }
}

TEST(StateDict, ContentDecidesNotTheName) {
  const core::TemporaryDirectory folder;
  const std::string path = (folder.path() / "weights.pth").string();
  write_tensors(path, net());
  std::vector<NamedTensor> targets = blank_net();
  copy_into(load_state_dict(path), targets);
  EXPECT_TRUE(is_net(targets));
}

TEST(StateDict, KeepsPrefixesOnDemand) {
  const StateDict state = load_state_dict(golden("data_parallel.pth"), {.strip_prefixes = false});
  EXPECT_EQ(state.tensors.at(0).name, "module.fc.weight");
  EXPECT_EQ(state.stripped_prefix, "");
}

TEST(StateDict, LooksUnderTheKeyGiven) {
  EXPECT_TRUE(is_net(load_state_dict(golden("checkpoint.pth"), {.key = "model_state_dict"}).tensors));
  const std::string nothing =
      message_of<InvalidArgument>([] { load_state_dict(golden("checkpoint.pth"), {.key = "ema"}); });
  EXPECT_NE(nothing.find("nothing under 'ema'"), std::string::npos) << nothing;
  EXPECT_NE(nothing.find("'model_state_dict' (a dict with 7 entries)"), std::string::npos) << nothing;
  EXPECT_THROW(load_state_dict(golden("checkpoint.pth"), {.key = "optimizer.state"}), InvalidArgument);
  EXPECT_THROW(load_state_dict(golden("checkpoint.pth"), {.key = ".."}), InvalidArgument);
}

TEST(StateDict, EmptyModelsAreNoError) { EXPECT_TRUE(load_state_dict(golden("empty.pth")).tensors.empty()); }

TEST(StateDict, SaysWhatIsThereInstead) {
  const std::string history = message_of<InvalidArgument>([] { load_state_dict(golden("no_weights.pth")); });
  EXPECT_NE(history.find("'history' (a list of 2)"), std::string::npos) << history;
  const std::string list = message_of<InvalidArgument>([] { load_state_dict(golden("list.pth")); });
  EXPECT_NE(list.find("a list of 2"), std::string::npos) << list;
  const std::string quantized = message_of<InvalidArgument>([] { load_state_dict(golden("quantized.pth")); });
  EXPECT_NE(quantized.find("_rebuild_qtensor"), std::string::npos) << quantized;
}

TEST(StateDict, RefusesWholeModulesWithAdvice) {
  for (const char* name : {"module.pth", "module_legacy.pth", "module_nested.pth"}) {
    const std::string message = message_of<Unsupported>([&] { load_state_dict(golden(name)); });
    EXPECT_NE(message.find("whole pickled nn.Module (class __main__.Net)"), std::string::npos) << message;
    EXPECT_NE(message.find("torch.save(model.state_dict()"), std::string::npos) << message;
    EXPECT_NE(message.find("limbeck capture --python"), std::string::npos) << message;
  }
}

TEST(StateDict, RefusesForeignFiles) {
  const core::TemporaryDirectory folder;
  const std::string path = (folder.path() / "weights").string();
  const std::pair<std::string, const char*> cases[] = {{"\x89HDF\r\n\x1a\n-------", "HDF5"},
                                                       {"GGUF\x03---------", "GGUF"},
                                                       {"plain text, long enough", "unknown format"}};
  for (const auto& [content, what] : cases) {
    core::write_file(path, content);
    const std::string message = message_of<Unsupported>([&] { load_state_dict(path); });
    EXPECT_NE(message.find(what), std::string::npos) << message;
  }
  core::write_file(path, std::string_view());
  EXPECT_THROW(load_state_dict(path), IoError);
  EXPECT_THROW(load_state_dict((folder.path() / "missing").string()), IoError);
}

TEST(CopyInto, FillsTheModel) {
  std::vector<NamedTensor> targets = blank_net();
  targets[0].tensor.requires_grad_();
  copy_into(load_state_dict(golden("state_dict.pth")), targets);
  EXPECT_TRUE(is_net(targets));
  EXPECT_TRUE(targets[0].tensor.is_leaf());
}

TEST(CopyInto, MatchesAWrappedModel) {
  std::vector<NamedTensor> targets = blank_net();
  for (NamedTensor& entry : targets) entry.name = "module." + entry.name;
  copy_into(load_state_dict(golden("data_parallel.pth")), targets);
  EXPECT_TRUE(at::equal(targets[0].tensor, pattern({2, 3})));
}

TEST(CopyInto, ChangesNothingUnlessAllFits) {
  std::vector<NamedTensor> targets = blank_net();
  targets.back().name = "bn.batches";
  EXPECT_THROW(copy_into(load_state_dict(golden("state_dict.pth")), targets), InvalidArgument);
  for (const NamedTensor& entry : targets) EXPECT_TRUE(entry.tensor.eq(100).all().item<bool>()) << entry.name;
}

TEST(FindMismatches, ListsAllWithNearestNames) {
  std::vector<NamedTensor> targets = blank_net();
  targets[0].name = "fc.weigth";
  targets[1].tensor = at::zeros({3});
  targets[2].tensor = at::zeros({2}, at::kDouble);
  targets.push_back({"conv1.weight", at::zeros({1})});
  const std::vector<std::string> lines = find_mismatches(load_state_dict(golden("state_dict.pth")), targets);
  const std::vector<std::string> expected = {
      "missing in the file: 'fc.weigth' (nearest: fc.weight)",
      "missing in the file: 'conv1.weight'",
      "not in the model: 'fc.weight' (nearest: fc.weigth)",
      "size mismatch for 'fc.bias': file has [2], model has [3]",
      "element type mismatch for 'bn.weight': file has Float, model has Double. Save the weights in the model's type, "
      "or "
      "ask for MatchOptions::convert_floats in C++",
      "Load the file into a model of 2 classes, or replace the classifier 'fc' by one of 3: `replace_head: {at: fc, "
      "classes: 3}` beside `weights` in a recipe (--model.replace_head.at fc --model.replace_head.classes 3), "
      "replace_head after loading in C++ and Python",
  };
  ASSERT_EQ(lines.size(), expected.size()) << ::testing::PrintToString(lines);
  EXPECT_EQ(lines[0], expected[0]);
  EXPECT_TRUE(lines[1].starts_with(expected[1])) << lines[1];
  EXPECT_TRUE(lines[2].starts_with("not in the model: 'fc.weight' (nearest: fc.weigth")) << lines[2];
  for (std::size_t i = 3; i < expected.size(); ++i) EXPECT_EQ(lines[i], expected[i]);
}

TEST(FindMismatches, AdvisesOnlyWhereOneModulesOutputsDiffer) {
  std::vector<NamedTensor> targets = blank_net();
  targets[0].tensor = at::zeros({2, 5});
  const StateDict file = load_state_dict(golden("state_dict.pth"));
  EXPECT_EQ(find_mismatches(file, targets),
            std::vector<std::string>{"size mismatch for 'fc.weight': file has [2, 3], model has [2, 5]"});
  targets[0].tensor = at::zeros({4, 3});  // of another width throughout
  targets[2].tensor = at::zeros({4});
  EXPECT_EQ(find_mismatches(file, targets),
            (std::vector<std::string>{"size mismatch for 'fc.weight': file has [2, 3], model has [4, 3]",
                                      "size mismatch for 'bn.weight': file has [2], model has [4]"}));
}

TEST(FindMismatches, ListsAtMostTwentyOfAKind) {
  StateDict file;
  for (int i = 0; i < 50; ++i) file.tensors.push_back({"layer" + std::to_string(i), at::zeros({1})});
  const std::vector<std::string> lines = find_mismatches(file, {});
  ASSERT_EQ(lines.size(), 21u);
  EXPECT_EQ(lines.back(), "and 30 more not in the model:");
}

TEST(CopyInto, ConvertsFloatsOnDemandOnly) {
  const StateDict file = load_state_dict(golden("state_dict.pth"));
  std::vector<NamedTensor> targets = blank_net();
  targets[0].tensor = at::zeros({2, 3}, at::kBFloat16);
  EXPECT_EQ(find_mismatches(file, targets).size(), 1u);
  copy_into(file, targets, {.convert_floats = true});
  EXPECT_TRUE(at::equal(targets[0].tensor, pattern({2, 3}, at::kBFloat16)));
  targets[6].tensor = at::zeros({}, at::kInt);
  EXPECT_EQ(find_mismatches(file, targets, {.convert_floats = true}).size(), 1u);
}

TEST(CopyInto, OldFilesHaveNoBatchCounters) {
  std::vector<NamedTensor> targets = blank_net();
  copy_into(load_state_dict(golden("before_batch_counters.pth")), targets);
  EXPECT_EQ(targets[6].tensor.item<std::int64_t>(), 0);
  EXPECT_TRUE(at::equal(targets[0].tensor, pattern({2, 3})));
}

TEST(CopyInto, ABatchCounterMissingAmongOthersIsMissing) {
  StateDict file;
  file.tensors = {{"a.num_batches_tracked", at::zeros({}, at::kLong)}};
  const std::vector<NamedTensor> targets = {{"a.num_batches_tracked", at::zeros({}, at::kLong)},
                                            {"b.num_batches_tracked", at::zeros({}, at::kLong)}};
  EXPECT_EQ(find_mismatches(file, targets).size(), 1u);
}

TEST(CopyInto, OneOfTwoTiedNamesIsEnough) {
  const at::Tensor weight = at::zeros({2, 2});
  const std::vector<NamedTensor> targets = {{"wte.weight", weight}, {"lm_head.weight", weight}};
  StateDict file;
  file.tensors = {{"wte.weight", pattern({2, 2})}};
  copy_into(file, targets);
  EXPECT_TRUE(at::equal(weight, pattern({2, 2})));
  file.tensors = {{"lm_head.weight", pattern({2, 2}) + 1}};
  copy_into(file, targets);
  EXPECT_TRUE(at::equal(weight, pattern({2, 2}) + 1));
}

TEST(CopyInto, TiedNamesMustAgree) {
  const at::Tensor weight = at::zeros({2, 2});
  const std::vector<NamedTensor> targets = {{"wte.weight", weight}, {"lm_head.weight", weight}};
  StateDict file;
  file.tensors = {{"wte.weight", pattern({2, 2})}, {"lm_head.weight", pattern({2, 2}).clone()}};
  copy_into(file, targets);
  file.tensors[1].tensor.fill_(3);
  EXPECT_EQ(
      find_mismatches(file, targets),
      std::vector<std::string>{"'wte.weight' and 'lm_head.weight' are one tensor in the model and differ in the file"});
}

}  // namespace
}  // namespace limbeck::weights
