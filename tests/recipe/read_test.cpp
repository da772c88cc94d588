#include "limbeck/recipe/read.h"

#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"

namespace limbeck::recipe {
namespace {

// Lines count: the tests name them.
constexpr const char* kRecipe = R"(name: small
seed: 3
data:
  dataset: synthetic:4x1x8x8?n=64
  batch_size: 16
  mean: [0.5]
  stddev: [0.25]
models:
  teacher: {zoo: resnet_basic, options: {widths: [8, 16], blocks: [1, 1], classes: 4}}
  student: {file: student.pt2, weights: student.pth}
stages:
  - train:
      model: teacher
      epochs: 2
      optimizer: &adam
        kind: adamw
        lr: 1.0e-3
        groups:
          - {pattern: bias, weight_decay: 0}
      schedule: {kind: cosine, warmup_epochs: 0.5}
  - distill:
      student: student
      teacher: teacher
      name: distilled
      temperature: 4
      features:
        - {student: layer1, teacher: layer1, weight: 10}
      optimizer: *adam
      precision: bf16
      memory_format: contiguous
  - evaluate: {models: [teacher, distilled], latency_runs: 0}
)";

Recipe parse(const Overrides& overrides = {}) { return parse_recipe(kRecipe, "r.yaml", overrides); }

std::string refusal(const std::string& text, const Overrides& overrides = {}, const std::string& source = "r.yaml") {
  try {
    parse_recipe(text, source, overrides);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "accepted";
}

/// The recipe with these lines under `data`.
std::string with_data(const std::string& lines) {
  std::string text = kRecipe;
  return text.insert(text.find("models:"), lines);
}

/// What is said when `from`, which must occur in the recipe, is replaced by `to`.
std::string refusal_of_edit(const std::string& from, const std::string& to) {
  std::string text = kRecipe;
  const std::size_t place = text.find(from);
  if (place == std::string::npos) return "no such text: " + from;
  return refusal(text.replace(place, from.size(), to));
}

void expect_starts(const std::string& text, const std::string& start) {
  EXPECT_EQ(text.substr(0, start.size()), start) << text;
}

TEST(ReadRecipe, FillsEveryPart) {
  const Recipe recipe = parse();
  EXPECT_EQ(recipe.name, "small");
  EXPECT_EQ(recipe.seed, 3U);
  EXPECT_EQ(recipe.output, "runs/small");
  EXPECT_EQ(recipe.data.dataset, "synthetic:4x1x8x8?n=64");
  EXPECT_EQ(recipe.data.mean, std::vector<double>{0.5});
  ASSERT_EQ(recipe.models.size(), 2U);
  EXPECT_EQ(recipe.models[0].second.options.at("widths"), "8,16");
  EXPECT_EQ(recipe.models[0].second.options.at("classes"), "4");
  EXPECT_EQ(recipe.models[1].second.weights, "student.pth");
  ASSERT_EQ(recipe.stages.size(), 3U);
  const auto& train = std::get<TrainStage>(recipe.stages[0]);
  EXPECT_EQ(train.train.epochs, 2);
  EXPECT_EQ(train.train.optimizer.kind, train::OptimizerKind::adamw);
  EXPECT_EQ(train.train.optimizer.lr, 1e-3);
  ASSERT_EQ(train.train.optimizer.groups.size(), 1U);
  EXPECT_EQ(train.train.optimizer.groups[0].weight_decay, 0.0);
  EXPECT_EQ(train.train.optimizer.groups[0].lr, std::nullopt);
  EXPECT_EQ(train.train.schedule.warmup_epochs, 0.5);
  EXPECT_EQ(train.train.seed, 3U);
  const auto& distill = std::get<DistillStage>(recipe.stages[1]);
  EXPECT_EQ(distill.distill.kd.temperature, 4);
  ASSERT_EQ(distill.distill.features.size(), 1U);
  EXPECT_EQ(distill.distill.features[0].weight, 10);
  EXPECT_EQ(distill.train.optimizer.lr, 1e-3);  // through the anchor
  EXPECT_EQ(distill.train.precision, train::Precision::bf16);
  EXPECT_EQ(distill.memory_format, MemoryLayout::contiguous);
  EXPECT_EQ(std::get<EvaluateStage>(recipe.stages[2]).models, (std::vector<std::string>{"teacher", "distilled"}));
}

TEST(ReadRecipe, NamesStagesAndTheirKinds) {
  const Recipe recipe = parse();
  EXPECT_EQ(stage_name(recipe.stages[0]), "teacher");
  EXPECT_EQ(stage_name(recipe.stages[1]), "distilled");
  EXPECT_EQ(stage_name(recipe.stages[2]), "evaluate");
  EXPECT_STREQ(stage_kind(recipe.stages[1]), "distill");
}

TEST(ReadRecipe, RefusesUnknownKeysWithPlaceAndNearest) {
  expect_starts(refusal_of_edit("epochs: 2", "epoch: 2"),
                "r.yaml:14:7: unknown key 'epoch'. Nearest: epochs, resume_epoch. Valid: ");
  expect_starts(refusal_of_edit("seed: 3", "sed: 3"), "r.yaml:2:1: unknown key 'sed'. Nearest: seed");
  expect_starts(refusal_of_edit("batch_size: 16", "batchsize: 16"),
                "r.yaml:5:3: unknown key 'batchsize'. Nearest: batch_size");
  expect_starts(refusal_of_edit("{zoo: resnet_basic,", "{zo: resnet_basic,"),
                "r.yaml:9:13: unknown key 'zo'. Nearest: zoo");
  expect_starts(refusal_of_edit("pattern: bias", "patern: bias"),
                "r.yaml:19:14: unknown key 'patern'. Nearest: pattern");
  expect_starts(refusal_of_edit("  - distill:", "  - distil:"),
                "r.yaml:21:5: unknown stage 'distil'. Nearest: distill");
  expect_starts(refusal_of_edit("seed: 3", "completely_else: 3"),
                "r.yaml:2:1: unknown key 'completely_else'. Valid: name");
}

TEST(ReadRecipe, RefusesWrongTypesWithPlace) {
  EXPECT_EQ(refusal_of_edit("epochs: 2", "epochs: two"), "r.yaml:14:15: 'epochs' must be an integer, got 'two'");
  EXPECT_EQ(refusal_of_edit("epochs: 2", "epochs: 2.5"), "r.yaml:14:15: 'epochs' must be an integer, got '2.5'");
  EXPECT_EQ(refusal_of_edit("epochs: 2", "epochs: '2'"), "r.yaml:14:15: 'epochs' must be an integer, got '2'");
  EXPECT_EQ(refusal_of_edit("epochs: 2", "epochs: [2]"), "r.yaml:14:15: 'epochs' must be an integer, got a sequence");
  EXPECT_EQ(refusal_of_edit("epochs: 2", "epochs:"), "r.yaml:14:7: 'epochs' must be an integer, got nothing");
  EXPECT_EQ(refusal_of_edit("seed: 3", "seed: -1"), "r.yaml:2:7: 'seed' must be an integer of at least 0, got '-1'");
  EXPECT_EQ(refusal_of_edit("lr: 1.0e-3", "lr: .inf"), "r.yaml:17:13: 'lr' must be a number, got '.inf'");
  EXPECT_EQ(refusal_of_edit("lr: 1.0e-3", "lr: 1e999"), "r.yaml:17:13: 'lr' must be a number, got '1e999'");
  EXPECT_EQ(refusal_of_edit("mean: [0.5]", "mean: 0.5"), "r.yaml:6:9: 'mean' must be a sequence of numbers, got '0.5'");
  EXPECT_EQ(refusal_of_edit("name: small", "name: {}"), "r.yaml:1:7: 'name' must be text, got a mapping");
  EXPECT_EQ(refusal_of_edit("lr: 1.0e-3", "nesterov: yes"),
            "r.yaml:17:19: 'nesterov' must be true or false, got 'yes'");
  EXPECT_EQ(refusal_of_edit("schedule: {kind: cosine, warmup_epochs: 0.5}", "schedule: cosine"),
            "r.yaml:20:17: this value must be a mapping of keys to values");
}

TEST(ReadRecipe, RefusesChoicesThatThereAreNot) {
  EXPECT_EQ(refusal_of_edit("kind: adamw", "kind: adamm"),
            "r.yaml:16:15: 'kind' must be one of sgd, adamw, adam, adagrad, lamb, lars, got 'adamm'");
  EXPECT_EQ(refusal_of_edit("precision: bf16", "precision: fp8"),
            "r.yaml:29:18: 'precision' must be one of fp32, bf16, fp16, got 'fp8'");
}

TEST(ReadRecipe, RefusesSettingsThatDoNothing) {
  const auto with = [](const std::string& setting) { return refusal_of_edit("lr: 1.0e-3", setting); };
  EXPECT_EQ(with("momentum: 0.9"), "r.yaml:17:9: 'momentum' does nothing here: it is there for kind: sgd, lars");
  EXPECT_EQ(with("nesterov: false"), "r.yaml:17:9: 'nesterov' does nothing here: it is there for kind: sgd");
  EXPECT_EQ(with("layerwise: {adaptation: all}"),
            "r.yaml:17:9: 'layerwise' does nothing here: it is there for kind: lamb, lars");
  const auto schedule = [](const std::string& text) {
    return refusal_of_edit("{kind: cosine, warmup_epochs: 0.5}", text);
  };
  EXPECT_EQ(schedule("{kind: constant, milestones: [3]}"),
            "r.yaml:20:34: 'milestones' does nothing here: it is there for kind: multistep");
  EXPECT_EQ(
      schedule("{warmup_epochs: 1, kind: one_cycle}"),
      "r.yaml:20:18: 'warmup_epochs' does nothing here: it is there for all kinds but one_cycle, which has its own");
  // A sweep over decays that begins at none has it beside them.
  EXPECT_EQ(refusal_of_edit("epochs: 2", "ema: {use: beside, every: 2}"), "accepted");
}

TEST(ReadRecipe, RefusesMissingKeysAtTheirMapping) {
  expect_starts(refusal_of_edit("name: small\n", ""), "r.yaml:1:1: key 'name' is missing");
  expect_starts(refusal_of_edit("      model: teacher\n", ""), "r.yaml:13:7: key 'model' is missing");
  expect_starts(refusal_of_edit("{pattern: bias, weight_decay: 0}", "{weight_decay: 0}"),
                "r.yaml:19:13: key 'pattern' is missing");
  expect_starts(refusal("name: x\ndata: {dataset: y}\nmodels: {m: {zoo: resnet18}}\nstages: [train: ]\n"),
                "r.yaml:4:10: key 'model' is missing");
  expect_starts(refusal("name: x\ndata: {dataset: y}\nmodels: {m: {zoo: resnet18}}\n"),
                "r.yaml:1:1: key 'stages' is missing");
}

TEST(ReadRecipe, RefusesReferencesToNothing) {
  EXPECT_EQ(refusal_of_edit("model: teacher", "model: teachr"),
            "r.yaml:13:7: there is no model 'teachr' here. Nearest: teacher. Known: teacher, student");
  expect_starts(refusal_of_edit("models: [teacher, distilled]", "models: [destilled]"),
                "r.yaml:31:15: there is no model 'destilled' here. Nearest: distilled.");
  expect_starts(refusal_of_edit("name: distilled", "name: teacher"),
                "r.yaml:22:7: two stages make a result 'teacher'. Give one a 'name'.");
  for (const char* name : {"../up", "a/b", ".hidden", "''"})
    EXPECT_NE(refusal_of_edit("name: distilled", std::string("name: ") + name), "accepted") << name;
}

TEST(ReadRecipe, ResultsCanBeUsedByLaterStagesOnly) {
  expect_starts(refusal_of_edit("model: teacher", "model: distilled"),
                "r.yaml:13:7: there is no model 'distilled' here");
}

TEST(ReadRecipe, ModelsNeedEitherZooOrFile) {
  EXPECT_EQ(refusal_of_edit("file: student.pt2, ", ""), "r.yaml:10:12: model 'student' needs either 'zoo' or 'file'");
  EXPECT_EQ(refusal_of_edit("file: student.pt2", "file: student.pt2, zoo: resnet18"),
            "r.yaml:10:12: model 'student' needs either 'zoo' or 'file'");
}

TEST(ReadRecipe, RefusesNumbersOutOfRange) {
  expect_starts(refusal_of_edit("epochs: 2", "epochs: 0"), "r.yaml:13:7: [train] epochs must be at least 1, got 0");
  expect_starts(refusal_of_edit("temperature: 4", "temperature: 0"), "r.yaml:22:7: ");
  expect_starts(refusal_of_edit("batch_size: 16", "batch_size: 0"),
                "r.yaml:4:3: [data] 'batch_size' must be at least 1, got 0");
  expect_starts(refusal_of_edit("batch_size: 16", "workers: 5000"),
                "r.yaml:4:3: [data] 'workers' must be 0 to 4096, got 5000");
  expect_starts(refusal_of_edit("batch_size: 16", "flip_probability: 1.5"), "r.yaml:4:3: [data] 'flip_probability'");
  expect_starts(refusal_of_edit("latency_runs: 0", "latency_batch: 0"), "r.yaml:31:15: [evaluate] 'latency_batch'");
  expect_starts(refusal_of_edit("seed: 3", "threads: -1"), "r.yaml:1:1: [recipe] 'threads' must be 0 to 4096, got -1");
}

TEST(ReadRecipe, RefusesStagesThatAreNone) {
  expect_starts(refusal_of_edit("  - evaluate: {", "  - evaluate\n  - x: {"), "r.yaml:31:5: a stage must be one key");
  const std::string head = "name: x\ndata: {dataset: y}\nmodels: {m: {zoo: resnet18}}\n";
  expect_starts(refusal(head + "stages: []\n"), "r.yaml:4:9: 'stages' must be a sequence");
  expect_starts(refusal(head + "stages: train\n"), "r.yaml:4:9: 'stages' must be a sequence");
  expect_starts(refusal("[1, 2]"), "r.yaml:1:1: a recipe must be a mapping");
}

TEST(ReadRecipe, OverridesByIndexAndByResultName) {
  const Overrides overrides{{"stages.teacher.epochs", "5"},           {"stages.1.distill.alpha", "0.25"},
                            {"stages.distilled.optimizer.lr", "0.5"}, {"data.batch_size", "8"},
                            {"models.teacher.options.classes", "7"},  {"output", "elsewhere"}};
  const Recipe recipe = parse(overrides);
  EXPECT_EQ(std::get<TrainStage>(recipe.stages[0]).train.epochs, 5);
  EXPECT_EQ(std::get<TrainStage>(recipe.stages[0]).train.optimizer.lr, 1e-3);  // the anchor's other use stays
  EXPECT_EQ(std::get<DistillStage>(recipe.stages[1]).distill.kd.alpha, 0.25);
  EXPECT_EQ(std::get<DistillStage>(recipe.stages[1]).train.optimizer.lr, 0.5);
  EXPECT_EQ(recipe.data.batch_size, 8);
  EXPECT_EQ(recipe.models[0].second.options.at("classes"), "7");
  EXPECT_EQ(recipe.output, "elsewhere");
}

TEST(ReadRecipe, OverridesAreCheckedAsTheFileIs) {
  expect_starts(refusal(kRecipe, {{"stages.teacher.epoch", "5"}}),
                "--set stages.teacher.epoch: unknown key 'epoch'. Nearest: epochs");
  EXPECT_EQ(refusal(kRecipe, {{"seed", "x"}}), "--set seed: 'seed' must be an integer of at least 0, got 'x'");
  expect_starts(refusal(kRecipe, {{"stages.teachr.epochs", "5"}}),
                "--set stages.teachr.epochs: there is no element 'teachr'");
}

/// The verbs of one stage write their recipe themselves: a line number of it would tell nobody anything.
TEST(ReadRecipe, NamesFlagsInsteadOfLinesWhereAProgramWroteTheText) {
  expect_starts(refusal(kRecipe, {{"data.batch_size", "x", "--data.batch_size"}}, ""),
                "--data.batch_size: 'batch_size' must be");
  expect_starts(refusal(kRecipe, {{"stages.teacher.epochs", "0", "--epochs"}}, ""),
                "command line: [train] epochs must be");
}

TEST(ReadRecipe, ReadsFiles) {
  const core::TemporaryDirectory folder;
  core::write_file(folder.path() / "a.yaml", kRecipe);
  const Recipe recipe = read_recipe(folder.path() / "a.yaml");
  EXPECT_EQ(effective_options(recipe), effective_options(parse()));
  EXPECT_THROW(read_recipe(folder.path() / "b.yaml"), IoError);
  EXPECT_THROW(read_recipe(folder.path()), IoError);
}

TEST(ReadRecipe, TakesListsOfTransforms) {
  const Recipe recipe = parse_recipe(with_data(R"(  train_transforms:
    - random_resized_crop: {size: 6, scale: [0.2, 1.0], interpolation: bicubic}
    - random_horizontal_flip:
    - trivial_augment_wide: {}
    - normalize: {mean: 0.5, std: [0.25]}
    - random_erasing: {p: 0.1}
  test_transforms: [{resize: {size: [8, 8]}}, {center_crop: {size: 6}}]
  mixup: {alpha: 0.2}
  train_decoding: exact
)"),
                                     "r.yaml");
  const auto& train = recipe.data.train_transforms;
  ASSERT_EQ(train.size(), 5U);
  const auto& crop = std::get<data::RandomResizedCrop>(train[0]);
  EXPECT_EQ(crop.size, std::vector<int64_t>{6});
  EXPECT_EQ(crop.scale, (std::vector<double>{0.2, 1}));
  EXPECT_EQ(crop.interpolation, data::Interpolation::bicubic);
  EXPECT_EQ(std::get<data::HorizontalFlip>(train[1]).probability, 0.5);
  EXPECT_EQ(std::get<data::Normalize>(train[3]).stddev, std::vector<float>{0.25F});
  EXPECT_EQ(std::get<data::RandomErasing>(train[4]).probability, 0.1);
  EXPECT_EQ(recipe.data.test_transforms.size(), 2U);
  EXPECT_EQ(recipe.data.mixup_alpha, 0.2);
  EXPECT_EQ(recipe.data.cutmix_alpha, 0);
  EXPECT_EQ(recipe.data.train_decoding, data::DecodeScale::exact);
  const core::Json options = effective_options(recipe);
  EXPECT_EQ(core::JsonView(options, "o")["data"]["train_transforms"][1].value().dump(),
            R"({"random_horizontal_flip": {"p": 0.5}})");
}

TEST(ReadRecipe, RefusesWrongTransforms) {
  const auto refusal_of = [](const std::string& lines) { return refusal(with_data(lines)); };
  expect_starts(refusal_of("  train_transforms: [{random_horisontal_flip: {}}]\n"),
                "r.yaml:8:23: unknown name 'random_horisontal_flip' in 'train_transforms'. Nearest: "
                "random_horizontal_flip");
  expect_starts(refusal_of("  train_transforms: [{resize: {sise: 3}}]\n"), "r.yaml:8:32: unknown key 'sise'.");
  expect_starts(refusal_of("  train_transforms: [{resize: {size: big}}]\n"),
                "r.yaml:8:38: 'size' must be an integer, got 'big'");
  expect_starts(refusal_of("  train_transforms: [resize]\n"),
                "r.yaml:8:22: 'train_transforms' must be a sequence of names with options");
  expect_starts(refusal_of("  train_transforms: {resize: {size: 3}}\n"),
                "r.yaml:8:21: 'train_transforms' must be a sequence, got a mapping");
  expect_starts(refusal_of("  train_transforms: [{pad: {padding: 2}}]\n  crop_padding: 2\n"),
                "r.yaml:4:3: [data] 'train_transforms' replace 'crop_padding'");
  expect_starts(refusal_of("  mixup: {alpha: -1}\n"), "r.yaml:4:3: [data] mixup and cutmix: alpha must be above 0");
}

}  // namespace
}  // namespace limbeck::recipe
