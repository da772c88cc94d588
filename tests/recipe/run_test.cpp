// Running recipes: what comes from the cache, what does not, and what a failure leaves.
#include "limbeck/recipe/run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/hash.h"
#include "limbeck/data/preprocessing.h"
#include "limbeck/data/transforms/options.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/lmb.h"
#include "limbeck/model/modes.h"
#include "limbeck/recipe/adopt_preprocessing.h"
#include "limbeck/recipe/data_source.h"
#include "limbeck/recipe/read.h"
#include "limbeck/recipe/stage.h"
#include "limbeck/zoo/zoo.h"

namespace limbeck::recipe {
namespace {

namespace fs = std::filesystem;

/// An IDX file of bytes: `sizes` in its header, then the bytes.
void write_idx(const fs::path& file, const std::vector<uint8_t>& sizes, const std::string& bytes) {
  std::string text{'\0', '\0', '\x08', static_cast<char>(sizes.size())};
  for (const uint8_t size : sizes) text += std::string{'\0', '\0', '\0', static_cast<char>(size)};
  core::write_file(file, text + bytes);
}

/// 64 images of 8x8 in four classes; `shade` is added to the first pixel of the first training image.
void write_dataset(const fs::path& folder, int shade) {
  std::string images, labels;
  for (int i = 0; i < 64; ++i) {
    labels += static_cast<char>(i % 4);
    for (int pixel = 0; pixel < 64; ++pixel) images += static_cast<char>((pixel / 16 == i % 4 ? 200 : 20) + i % 7);
  }
  for (const std::string split : {"t10k", "train"}) {
    if (split == "train") images[0] = static_cast<char>(images[0] + shade);
    write_idx(folder / (split + "-images-idx3-ubyte"), {64, 8, 8}, images);
    write_idx(folder / (split + "-labels-idx1-ubyte"), {64}, labels);
  }
}

class Run : public ::testing::Test {
 protected:
  Run() { write_dataset(folder_.path(), 0); }

  Recipe recipe(const std::string& more_data = "") const {
    return parse_recipe(
        fmt::format(
            "name: x\noutput: {0}/out\ndata: {{dataset: \"idx:{0}\", mean: [0.3], stddev: [0.3], batch_size: 16{1}}}\n"
            "models: {{m: {{zoo: resnet_basic, options: {{widths: [4, 4], blocks: [1, 1], image_size: 8, "
            "in_channels: 1, classes: 4}}}}}}\n"
            "stages:\n  - train: {{model: m, epochs: 2}}\n  - evaluate: {{latency_runs: 0}}\n",
            folder_.path().string(), more_data),
        "r.yaml");
  }

  /// Runs it and returns the stages that came from the cache.
  std::set<std::string> cached_stages(const Recipe& recipe) const {
    std::set<std::string> cached;
    RunControl control;
    control.events.on_stage_end = [&](const StageTitle& title, bool from_cache, double) {
      if (from_cache) cached.insert(title.name);
    };
    EXPECT_TRUE(run(recipe, control).completed);
    return cached;
  }

  /// Whether a run would take the training from its cache.
  bool is_planned_from_cache() const {
    const core::Json json = plan(recipe());
    return core::JsonView(json, "plan")["stages"][0]["cached"].as_bool();
  }

  fs::path stage_file(const char* name) const { return folder_.path() / "out" / "m" / name; }

  core::TemporaryDirectory folder_;
};

const std::set<std::string> kNothing{}, kEverything{"m", "evaluate"};

TEST_F(Run, TakesWhatIsUnchangedFromTheCache) {
  EXPECT_EQ(cached_stages(recipe()), kNothing);
  EXPECT_EQ(cached_stages(recipe()), kEverything);
  EXPECT_EQ(cached_stages(recipe(", workers: 2")), kEverything) << "every number of workers reads the same batches";
  EXPECT_EQ(cached_stages(recipe(", flip_probability: 0.5")), kNothing);
}

TEST_F(Run, ChangedDataUnderTheSameNameIsTrainedOnAgain) {
  EXPECT_EQ(cached_stages(recipe()), kNothing);
  write_dataset(folder_.path(), 1);
  EXPECT_EQ(cached_stages(recipe()), kNothing);
}

TEST_F(Run, TrainsAgainWhereTheModelIsGone) {
  cached_stages(recipe());
  fs::remove(stage_file("model.lmb"));
  EXPECT_FALSE(is_planned_from_cache());
  EXPECT_EQ(cached_stages(recipe()), std::set<std::string>{"evaluate"});
  EXPECT_TRUE(fs::exists(stage_file("model.lmb")));
  EXPECT_TRUE(is_planned_from_cache());
}

TEST_F(Run, TellsTheAccuracyOnHeldOutSamples) {
  const RunResult result = run(recipe(", val_size: 16"), {});
  const core::JsonView epochs = core::JsonView(result.report, "report")["stages"]["m"]["epochs"];
  ASSERT_EQ(epochs.size(), 2U);
  for (const core::JsonView& epoch : epochs.elements()) {
    const double samples = epoch["val_accuracy"].as_double() * 16;
    EXPECT_EQ(samples, std::round(samples)) << "a share of the 16 held-out samples";
  }
  const std::string markdown = core::read_file(folder_.path() / "out" / "report.md");
  EXPECT_NE(markdown.find("## m (train)\n\n| epoch | loss | train top-1 | val top-1 | val loss | time |"),
            std::string::npos)
      << markdown;
}

TEST_F(Run, GoesOnWhereItWasStoppedAndSaysSo) {
  Recipe unbroken = recipe(", val_size: 16"), stopped = unbroken;
  stopped.output += "-stopped";
  run(unbroken, {});
  std::vector<std::string> notes;
  core::StopFlag stop;
  RunControl control{.stop = &stop, .checkpoint_seconds = 0};
  control.events.on_note = [&](const StageTitle&, const std::string& line) { notes.push_back(line); };
  control.events.on_training = [&](const StageTitle&, const train::ProgressEvent& event) {
    if (event.epoch == 1 && event.step == 2) stop.request();
  };
  EXPECT_FALSE(run(stopped, control).completed);
  control.stop = nullptr;
  EXPECT_TRUE(run(stopped, control).completed);
  EXPECT_EQ(notes, std::vector<std::string>{"goes on from its checkpoint: epoch 2, step 2"});
  EXPECT_EQ(core::sha256_file(fs::path(unbroken.output) / "m" / "model.lmb"),
            core::sha256_file(fs::path(stopped.output) / "m" / "model.lmb"));
}

std::string refusal(const Recipe& recipe) {
  try {
    run(recipe, {});
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "accepted";
}

TEST_F(Run, NamesTheModelThatDoesNotFitTheData) {
  Recipe wrong = recipe();
  wrong.models[0].second.options["image_size"] = "16";
  EXPECT_TRUE(refusal(wrong).starts_with("[train] model 'm' takes images [1, 16, 16] and idx:")) << refusal(wrong);
  EXPECT_NE(refusal(wrong).find("has [1, 8, 8]. Build it with in_channels=1 and image_size=8"), std::string::npos);
  wrong = recipe();
  wrong.models[0].second.options["classes"] = "5";
  EXPECT_TRUE(refusal(wrong).starts_with("[train] model 'm' gives [1, 5] for one image and idx:")) << refusal(wrong);
}

TEST_F(Run, EvaluatesOnFewerClassesThanTheModelHasAndSaysSo) {
  run(recipe(), {});
  const Recipe fewer =
      parse_recipe(fmt::format("name: y\noutput: {0}/evaluated\ndata: {{dataset: \"synthetic:3x1x8x8?n=64\"}}\n"
                               "models: {{m: {{file: \"{0}/out/m/model.lmb\"}}}}\n"
                               "stages: [{{evaluate: {{models: [m], latency_runs: 0}}}}]\n",
                               folder_.path().string()),
                   "r.yaml");
  RunControl control;
  std::vector<std::string> notes;
  control.events.on_note = [&](const StageTitle&, const std::string& line) { notes.push_back(line); };
  const RunResult result = run(fewer, control);
  const report::ComparisonRow& row = result.comparison->rows.at(0);
  EXPECT_EQ(row.notes, std::vector<std::string>{"the data has 3 of its 4 classes, taken by their numbers"});
  EXPECT_NE(std::find(notes.begin(), notes.end(), "m: " + row.notes.at(0)), notes.end());
  EXPECT_EQ(row.accuracy.confusion.num_classes, 4);
  EXPECT_TRUE(std::isnan(row.accuracy.per_class.at(3)));
  const std::string markdown = core::read_file(folder_.path() / "evaluated" / "report.md");
  EXPECT_NE(markdown.find("m: " + row.notes.at(0) + "."), std::string::npos) << markdown;
}

TEST_F(Run, NamesTheSampleWithAStrayLabel) {
  std::string labels;
  for (int i = 0; i < 64; ++i) labels += static_cast<char>(i == 41 ? 200 : i % 4);
  write_idx(folder_.path() / "train-labels-idx1-ubyte", {64}, labels);
  const std::string text = refusal(recipe());
  EXPECT_NE(text.find("/train sample 41 has the label 200. Build it with"), std::string::npos) << text;
}

TEST_F(Run, RefusesToCropNothingButPadding) {
  EXPECT_EQ(refusal(recipe(", crop_padding: 7")), "accepted");
  EXPECT_TRUE(
      refusal(recipe(", crop_padding: 8")).starts_with("[data] with a crop_padding of 8 some crops of [1, 8, 8]"))
      << refusal(recipe(", crop_padding: 8"));
}

constexpr const char* kTransforms =
    ", train_transforms: [{random_resized_crop: {size: 8}}, {trivial_augment_wide: {}}, {random_erasing: {}}], "
    "test_transforms: [{resize: {size: 9}}, {center_crop: {size: 8}}], mixup: {alpha: 0.2}";

TEST_F(Run, TrainsWithTransformsThatTravelWithTheModel) {
  EXPECT_EQ(cached_stages(recipe(kTransforms)), kNothing);
  EXPECT_EQ(cached_stages(recipe(kTransforms)), kEverything);
  const graph::Graph graph = graph::load_lmb(stage_file("model.lmb"));
  const data::Preprocessing kept = data::parse_preprocessing(graph.metadata.at(data::kPreprocessingKey));
  EXPECT_EQ(data::to_text(kept), "resize [9] bilinear, center_crop [8], mean [0.3], stddev [0.3]");

  const Recipe evaluation = parse_recipe(
      fmt::format("name: y\noutput: {0}/evaluated\ndata: {{dataset: \"idx:{0}\"}}\n"
                  "models: {{m: {{file: \"{0}/out/m/model.lmb\"}}}}\nstages: [{{evaluate: {{latency_runs: 0}}}}]\n",
                  folder_.path().string()),
      "r.yaml");
  const DataSource source(adopt_preprocessing(evaluation).options, 0);
  ASSERT_EQ(source.test_transforms().size(), 3U);
  EXPECT_EQ(source.normalization().mean, std::vector<float>{0.3F});
  EXPECT_EQ(cached_stages(evaluation), kNothing);
  EXPECT_TRUE(adopt_preprocessing(recipe()).note.empty()) << "an architecture says nothing";

  const Recipe continued = parse_recipe(
      fmt::format("name: y\noutput: {0}/continued\ndata: {{dataset: \"idx:{0}\", batch_size: 16, crop_padding: 1}}\n"
                  "models: {{m: {{file: \"{0}/out/m/model.lmb\"}}}}\nstages: [{{train: {{model: m}}}}]\n",
                  folder_.path().string()),
      "r.yaml");
  const AdoptedData adopted = adopt_preprocessing(continued);
  EXPECT_EQ(adopted.note,
            "images are prepared as m says: resize [9] bilinear, center_crop [8], mean [0.3], stddev [0.3]");
  const DataSource training(adopted.options, 0);
  std::vector<std::string> names;
  for (const data::Transform& transform : training.train_transforms()) names.emplace_back(data::name_of(transform));
  EXPECT_EQ(names, (std::vector<std::string>{"resize", "center_crop", "random_crop", "normalize"}));
  EXPECT_EQ(training.image_shape(), (data::ImageShape{1, 8, 8}));
}

/// An evaluation of two files, trained on images that were prepared in two ways; `more_data` of the recipe's data.
class OwnPreprocessing : public Run {
 protected:
  OwnPreprocessing() {
    train("plain", "mean: [0.3], stddev: [0.3]");
    train("cropped", "mean: [0.6], stddev: [0.2], test_transforms: [{pad: {padding: 2}}, {center_crop: {size: 8}}]");
  }

  void train(const std::string& name, const std::string& data) const {
    cached_stages(parse_recipe(
        fmt::format("name: x\noutput: {0}/{1}\ndata: {{dataset: \"idx:{0}\", batch_size: 16, {2}}}\n"
                    "models: {{m: {{zoo: resnet_basic, options: {{widths: [4, 4], blocks: [1, 1], image_size: 8, "
                    "in_channels: 1, classes: 4}}}}}}\nstages: [{{train: {{model: m, epochs: 2}}}}]\n",
                    folder_.path().string(), name, data),
        "r.yaml"));
  }

  /// Mean negative log-likelihood of the models, in order.
  std::vector<double> losses(const std::vector<std::string>& names, const std::string& more_data = "") const {
    std::string models;
    for (const std::string& name : names)
      models += fmt::format("  {1}: {{file: \"{0}/{1}/m/model.lmb\"}}\n", folder_.path().string(), name);
    const Recipe evaluation =
        parse_recipe(fmt::format("name: y\noutput: {0}/evaluated\ndata: {{dataset: \"idx:{0}\"{1}}}\nmodels:\n{2}"
                                 "stages: [{{evaluate: {{models: [{3}], latency_runs: 2}}}}]\n",
                                 folder_.path().string(), more_data, models, fmt::join(names, ", ")),
                     "r.yaml");
    const RunResult result = run(evaluation, {});
    std::vector<double> found;
    for (const report::ComparisonRow& row : result.comparison->rows) found.push_back(row.accuracy.nll);
    return found;
  }
};

TEST_F(OwnPreprocessing, IsThatOfEachModelOfASet) {
  const double plain = losses({"plain"})[0], cropped = losses({"cropped"})[0];
  EXPECT_EQ(losses({"plain", "cropped"}), (std::vector{plain, cropped}));
  EXPECT_EQ(losses({"cropped", "plain"}), (std::vector{cropped, plain}));
  const std::string given = ", mean: [0.3], stddev: [0.3]";
  EXPECT_EQ(losses({"plain", "cropped"}, given)[0], plain);
  EXPECT_NE(losses({"plain", "cropped"}, given)[1], cropped) << "the recipe says how all are tested";
}

TEST_F(OwnPreprocessing, NeedsNoTrainingSet) {
  const double plain = losses({"plain"})[0];
  core::write_file(folder_.path() / "train-images-idx3-ubyte", "damaged");
  EXPECT_EQ(losses({"plain"}, ", mean: [0.3], stddev: [0.3]")[0], plain);
  EXPECT_THROW(cached_stages(recipe()), IoError) << "a training does";
}

/// Folders of images with one file that is no image among those to train on.
TEST(SkippedSamples, AreCountedInResultReportAndNotes) {
  const core::TemporaryDirectory folder;
  const fs::path images = LIMBECK_SOURCE_DIR "/tests/data/images";
  for (const char* file : {"train/a/1.png", "train/a/2.png", "train/b/1.png", "train/b/2.png", "train/b/3.png",
                           "test/a/1.png", "test/b/1.png"}) {
    fs::create_directories((folder.path() / file).parent_path());
    fs::copy_file(images / "rgb.png", folder.path() / file);
  }
  core::write_file(folder.path() / "train/a/broken.png", "no image");
  const auto text = [&](const char* on_error) {
    return fmt::format(
        "name: x\noutput: {0}/out\ndata: {{dataset: \"folder:{0}\", mean: [0.3], stddev: [0.3], batch_size: 3, "
        "on_error: {1}, train_transforms: [{{resize: {{size: [8, 8]}}}}], test_transforms: [{{resize: {{size: [8, "
        "8]}}}}]}}\nmodels: {{m: {{zoo: resnet_basic, options: {{widths: [4, 4], blocks: [1, 1], image_size: 8, "
        "classes: 2}}}}}}\nstages: [{{train: {{model: m, epochs: 2}}}}]\n",
        folder.path().string(), on_error);
  };
  EXPECT_THROW(run(parse_recipe(text("raise"), "r.yaml"), {}), IoError);
  std::string notes;
  RunControl control;
  control.events.on_note = [&](const StageTitle&, const std::string& line) { notes += line + "\n"; };
  const RunResult result = run(parse_recipe(text("skip"), "r.yaml"), control);
  const core::JsonView stages = core::JsonView(result.report, "report")["stages"];
  EXPECT_EQ(stages["m"]["skipped_samples"].as_int(), 2) << "once in each epoch";
  EXPECT_NE(notes.find("2 samples could not be read and were left out"), std::string::npos) << notes;
  EXPECT_NE(core::read_file(folder.path() / "out/report.md").find("could not be read and were left out: 2."),
            std::string::npos);
}

TEST_F(Run, PinsMemoryForGpusAlone) {
  Recipe on_gpu = recipe();
  EXPECT_FALSE(data_use(on_gpu).pins_memory);
  EXPECT_TRUE(data_use(on_gpu).trains);
  on_gpu.device = "cuda";
  EXPECT_TRUE(data_use(on_gpu).pins_memory);
  EXPECT_FALSE(DataSource(on_gpu.data, 0).train_loader(MemoryLayout::contiguous).options().pin_memory);
}

TEST_F(Run, NormalizesBeforeWhatErases) {
  const DataSource source(recipe(kTransforms).data, 0);
  ASSERT_EQ(source.train_transforms().size(), 4U);
  EXPECT_TRUE(std::holds_alternative<data::Normalize>(source.train_transforms()[2]));
  const data::Batch batch = *source.train_loader(MemoryLayout::channels_last).next();
  EXPECT_EQ(batch.targets.sizes(), (at::IntArrayRef{16, 4}));
  EXPECT_FALSE(source.test_loader(8, MemoryLayout::channels_last).next()->targets.defined());
}

TEST_F(Run, RefusesTransformsThatFitNothing) {
  const auto with = [&](const std::string& transforms) { return refusal(recipe(", " + transforms)); };
  EXPECT_TRUE(
      with("test_transforms: [{center_crop: {size: 6}}]").starts_with("[train] model 'm' takes images [1, 8, 8]"));
  EXPECT_TRUE(with("test_transforms: [{random_horizontal_flip: {}}]")
                  .starts_with("[data] 'test_transforms' must not draw anything, as random_horizontal_flip does"));
  EXPECT_TRUE(with("train_transforms: [{grayscale: {num_output_channels: 3}}]").find("the channels must be the same") !=
              std::string::npos);
}

TEST_F(Run, TellsWhereATeacherWasNormalizedOtherwise) {
  cached_stages(recipe());
  const std::string text = fmt::format(
      "name: y\noutput: {0}/distilled\ndata: {{dataset: \"idx:{0}\", mean: [0.5], stddev: [0.25], batch_size: 16}}\n"
      "models:\n  s: {{zoo: resnet_basic, options: {{widths: [4, 4], blocks: [1, 1], image_size: 8, in_channels: 1, "
      "classes: 4}}}}\n  t: {{file: \"{0}/out/m/model.lmb\"}}\nstages:\n  - distill: {{student: s, teacher: t}}\n",
      folder_.path().string());
  std::vector<std::string> notes;
  RunControl control;
  control.events.on_note = [&](const StageTitle&, const std::string& line) { notes.push_back(line); };
  run(parse_recipe(text, "r.yaml"), control);
  ASSERT_FALSE(notes.empty());
  EXPECT_TRUE(
      notes[0].starts_with("t was trained with mean [0.3] and stddev [0.3], here both models get images with "
                           "[0.5] and [0.25]"))
      << notes[0];
}

TEST_F(Run, PlanWritesNothingAndMayBeAskedWhileItRuns) {
  EXPECT_FALSE(is_planned_from_cache());
  EXPECT_FALSE(fs::exists(folder_.path() / "out"));
  RunControl control;
  int num_plans = 0;
  control.events.on_training = [&](const StageTitle&, const train::ProgressEvent& event) {
    if (!event.is_epoch_end) return;
    ++num_plans;
    EXPECT_FALSE(is_planned_from_cache());
  };
  EXPECT_TRUE(run(recipe(), control).completed);
  EXPECT_EQ(num_plans, 2);
}

/// Which modes a file of one export leaves open, the recipe says.
TEST_F(Run, ModelsAcceptWhatTheRecipeSays) {
  const fs::path file = folder_.path() / "assuming.lmb";
  graph::Graph graph =
      Model(zoo::make("resnet_basic",
                      {.classes = 4, .in_channels = 1, .image_size = 8, .blocks = {1, 1}, .widths = {4, 4}}))
          .graph();
  graph.assumptions.push_back({graph::Mode::train, 0, "train was not seen"});
  graph.assumptions.push_back({graph::Mode::eval, 0, "eval was not seen"});
  graph::save_lmb(graph, file);
  const auto with = [&](const std::string& accept) {
    Recipe changed = recipe();
    ModelOptions& model = changed.models[0].second;
    model = {};
    model.file = file.string();
    model.accept = parse_modes(accept);
    return changed;
  };
  for (const char* accept : {"none", "train", "eval"}) EXPECT_THROW(run(with(accept), {}), Unsupported) << accept;
  EXPECT_EQ(cached_stages(with("both")), kNothing) << "the trained model is evaluated in eval mode";
}

TEST_F(Run, ModelFilesCountWithTheirContentNotTheirName) {
  Recipe changed = recipe();
  ModelOptions& model = changed.models[0].second;
  const fs::path first = folder_.path() / "first.lmb", second = folder_.path() / "second.lmb";
  make_model(model, 1).save(first.string());
  make_model(model, 2).save(second.string());
  model = {};
  model.file = first.string();
  EXPECT_EQ(cached_stages(changed), kNothing);
  model.file = (folder_.path() / "moved.lmb").string();
  fs::rename(first, model.file);
  EXPECT_EQ(cached_stages(changed), kEverything);
  fs::rename(second, model.file);
  EXPECT_EQ(cached_stages(changed), kNothing);
}

TEST_F(Run, KeepsAFinishedModelThatOtherSettingsReplace) {
  cached_stages(recipe());
  const std::string first = core::read_file(stage_file("model.lmb"));
  Recipe failing = recipe(", flip_probability: 0.5");
  std::get<TrainStage>(failing.stages.at(0)).train.optimizer.lr = 1e30;
  EXPECT_THROW(run(failing, {}), InvalidArgument);
  EXPECT_TRUE(core::read_file(folder_.path() / "out" / "m.previous" / "model.lmb") == first);
}

TEST_F(Run, KeepsEveryModelThatOtherSettingsReplace) {
  std::vector<std::string> models;
  Recipe changed = recipe();
  for (const int64_t epochs : {2, 1, 3}) {
    std::get<TrainStage>(changed.stages.at(0)).train.epochs = epochs;
    run(changed, {});
    models.push_back(core::read_file(stage_file("model.lmb")));
  }
  const fs::path out = folder_.path() / "out";
  EXPECT_TRUE(core::read_file(out / "m.previous" / "model.lmb") == models[0]);
  EXPECT_TRUE(core::read_file(out / "m.previous-2" / "model.lmb") == models[1]);
  EXPECT_FALSE(fs::exists(out / "m.previous-3"));
}

/// Each is refused at another place: the batch size by the loader, the others by what trains.
TEST_F(Run, MovesNothingBeforeAStageCanStart) {
  cached_stages(recipe());
  const std::string first = core::read_file(stage_file("model.lmb"));
  std::vector<Recipe> wrong(4, recipe());
  wrong[0].data.batch_size = 99999;
  std::get<TrainStage>(wrong[1].stages.at(0)).train.optimizer.groups = {{.pattern = "nowhere"}};
  std::get<TrainStage>(wrong[2].stages.at(0)).freeze = {"nowhere"};
  std::get<TrainStage>(wrong[3].stages.at(0)).train.keep = train::Keep::best;
  for (Recipe& recipe : wrong) {
    EXPECT_THROW(run(recipe, {}), InvalidArgument);
    EXPECT_TRUE(core::read_file(stage_file("model.lmb")) == first);
    EXPECT_FALSE(fs::exists(folder_.path() / "out" / "m.previous"));
    recipe.output = (folder_.path() / "new" / "folder").string();
    EXPECT_THROW(run(recipe, {}), InvalidArgument);
    EXPECT_FALSE(fs::exists(folder_.path() / "new")) << "nothing is left of what was never begun";
  }
}

TEST_F(Run, FinishedStagesKeepNoCheckpoint) {
  cached_stages(recipe());
  EXPECT_TRUE(fs::exists(stage_file("model.lmb")));
  EXPECT_FALSE(fs::exists(stage_file("checkpoint")));
}

/// A stage whose result could not be recorded goes on from its last checkpoint, without training again.
TEST_F(Run, KeepsTheCheckpointUntilTheResultIsRecorded) {
  RunControl control;
  int num_epochs = 0;
  control.events.on_training = [&](const StageTitle&, const train::ProgressEvent& event) {
    if (!event.is_epoch_end) return;
    ++num_epochs;
    fs::create_directories(stage_file("result.json"));  // no file can take this name now
  };
  EXPECT_THROW(run(recipe(), control), IoError);
  EXPECT_EQ(num_epochs, 2);
  fs::remove(stage_file("result.json"));
  control.events.on_training = [&](const StageTitle&, const train::ProgressEvent&) { ++num_epochs; };
  EXPECT_TRUE(run(recipe(), control).completed);
  EXPECT_EQ(num_epochs, 2) << "no step was trained twice";
}

TrainStage& training(Recipe& recipe) { return std::get<TrainStage>(recipe.stages.at(0)); }

std::vector<std::string> notes_of(const Recipe& recipe) {
  std::vector<std::string> notes;
  RunControl control;
  control.events.on_note = [&](const StageTitle&, const std::string& line) { notes.push_back(line); };
  run(recipe, control);
  return notes;
}

TEST_F(Run, FreezesWhatThePatternsMatchForTheStageAlone) {
  Recipe frozen = recipe();
  training(frozen).freeze = {"^(?!fc)"};
  const std::vector<std::string> notes = notes_of(frozen);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_TRUE(notes[0].starts_with("frozen: ") && notes[0].ends_with("and the statistics of 6 BatchNorms")) << notes[0];
  const Model fresh = make_model(frozen.models[0].second, frozen.seed);
  const Model trained(graph::load_lmb(stage_file("model.lmb")));
  for (const graph::Parameter& parameter : trained.graph().parameters()) {
    const at::Tensor& before = fresh.graph().parameter(parameter.name).tensor;
    EXPECT_EQ(at::equal(parameter.tensor, before), !parameter.name.starts_with("fc.")) << parameter.name;
    EXPECT_EQ(parameter.tensor.requires_grad(), !parameter.is_buffer) << "the next stage may train it";
  }
}

TEST_F(Run, RefusesToFreezeEverything) {
  Recipe frozen = recipe();
  training(frozen).freeze = {"."};
  EXPECT_EQ(refusal(frozen), "[freeze] . leaves nothing to train");
  training(frozen).freeze = {"head"};
  EXPECT_TRUE(refusal(frozen).starts_with("[model] no parameter matches 'head'.")) << refusal(frozen);
}

TEST_F(Run, KeepsLastAndAveragedWeightsBesideTheResult) {
  Recipe averaged = recipe();
  training(averaged).train.keep = train::Keep::best;
  training(averaged).train.monitor = train::Metric::loss;
  training(averaged).train.ema.decay = 0.9;
  EXPECT_TRUE(notes_of(averaged).at(0).starts_with("the result is of epoch 2, the best by loss (")) << "it learns";
  for (const char* file : {"model.lmb", "last.lmb", "trained.lmb", "metrics.jsonl"})
    EXPECT_TRUE(fs::exists(stage_file(file))) << file;
  training(averaged).train.keep = train::Keep::last;
  training(averaged).train.ema.use = train::AverageUse::beside;
  run(averaged, {});
  EXPECT_TRUE(fs::exists(stage_file("ema.lmb")));
  EXPECT_FALSE(fs::exists(stage_file("last.lmb"))) << "of the settings before";
}

TEST_F(Run, ADecayOfNoneAveragesNothingAndSaysSo) {
  Recipe plain = recipe();
  training(plain).train.ema = {.decay = 0, .use = train::AverageUse::beside};
  EXPECT_EQ(notes_of(plain),
            std::vector<std::string>{"ema.decay is 0: no weights are averaged, and the result has the trained ones"});
  EXPECT_TRUE(fs::exists(stage_file("model.lmb")));
  EXPECT_FALSE(fs::exists(stage_file("ema.lmb")));
}

/// Writes a model of `inputs`, each [B, 1, 8, 8], of which only the first is used.
void write_model(const fs::path& file, const std::vector<std::string>& inputs, at::ScalarType dtype = at::kFloat) {
  graph::Graph graph;
  graph::Builder builder(graph);
  using graph::IntExpr;
  std::vector<graph::ValueId> values;
  for (const std::string& name : inputs) values.push_back(builder.input(name, {IntExpr::symbol("B"), 1, 8, 8}, dtype));
  graph::ValueId h = builder.call("aten::flatten.using_ints", {values.at(0), 1});
  if (dtype != at::kFloat) h = builder.call("aten::to.dtype", {h, at::kFloat});
  h = builder.call("aten::linear", {h, builder.parameter("weight", at::ones({4, 64})), nullptr});
  builder.outputs({{"logits", h}});
  graph::save_lmb(graph, file);
}

TEST_F(Run, NamesInputsThatAreNoImages) {
  const auto with = [&](const std::vector<std::string>& inputs, at::ScalarType dtype) {
    write_model(folder_.path() / "x.lmb", inputs, dtype);
    Recipe other = recipe();
    other.models[0].second = {};
    other.models[0].second.file = (folder_.path() / "x.lmb").string();
    return refusal(other);
  };
  EXPECT_EQ(with({"x"}, at::kFloat), "accepted");
  const std::string advice =
      " Stages give a model images alone: write its loop in C++ or Python (limbeck::optimize, lb.optimize).";
  EXPECT_EQ(with({"x", "mask"}, at::kFloat),
            "[train] model 'm' has the inputs 'x', 'mask', which must all be given." + advice);
  EXPECT_EQ(with({"input_ids"}, at::kLong),
            "[train] model 'm' takes Long in its input 'input_ids', no images." + advice);
}

TEST_F(Run, WhatIsLoggedTrainsNothingAgain) {
  EXPECT_EQ(cached_stages(recipe()), kNothing);
  Recipe logged = recipe();
  training(logged).log.every_steps = 1;
  EXPECT_EQ(cached_stages(logged), kEverything);
}

TEST_F(Run, ReplacesTheHeadAndDropsTheSoftmaxOfAModel) {
  graph::Graph graph = make_model(recipe().models[0].second, 1).graph();
  const graph::ValueId logits = *graph.train_outputs[0].value.value();
  graph::Builder builder(graph);
  builder.outputs({{"", builder.call("aten::softmax.int", {logits, 1})}});
  const fs::path file = folder_.path() / "softmax.lmb";
  graph::save_lmb(graph, file);
  Recipe changed = recipe();
  ModelOptions& model = changed.models[0].second;
  model = {};
  model.file = file.string();
  model.drop_softmax = true;
  EXPECT_EQ(notes_of(changed), std::vector<std::string>{"m: its final activation was dropped: it gives logits"});
  model.replace_head = {.at = "fc", .classes = 9};
  EXPECT_TRUE(refusal(changed).starts_with("[train] model 'm' gives [1, 9] for one image")) << refusal(changed);
  model.replace_head = {};
  model.file = (folder_.path() / "logits.lmb").string();
  make_model(recipe().models[0].second, 1).save(model.file);
  EXPECT_TRUE(refusal(changed).starts_with("[model] drop_softmax: the model ends in no softmax")) << refusal(changed);
}

TEST_F(Run, HooksSeeEveryTrainingAndMayStopIt) {
  RunControl control;
  std::vector<int64_t> steps;
  control.hooks.on_step = [&](const train::StepReport& report) {
    steps.push_back(report.step);
    return report.step == 3 ? train::AfterHook::stop : train::AfterHook::go_on;
  };
  EXPECT_FALSE(run(recipe(), control).completed);
  EXPECT_TRUE(run(recipe(), control).completed) << "and go on where it was stopped";
  EXPECT_EQ(steps, (std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
}

/// `recipe` on a model with two outputs: "aux" gives the negative logits, "main" the logits.
Recipe with_two_outputs(Recipe recipe, const fs::path& file) {
  graph::Graph graph = make_model(recipe.models[0].second, 1).graph();
  const graph::ValueId logits = *graph.train_outputs[0].value.value();
  graph::Builder builder(graph);
  builder.outputs({{"aux", builder.call("aten::neg", {logits})}, {"main", logits}});
  graph::save_lmb(graph, file);
  ModelOptions& model = recipe.models[0].second;
  model = {};
  model.file = file.string();
  return recipe;
}

double last_loss(const Recipe& recipe) {
  const RunResult result = run(recipe, {});
  const core::JsonView epochs = core::JsonView(result.report, "report")["stages"]["m"]["epochs"];
  return epochs[epochs.size() - 1]["loss"].as_double();
}

TEST_F(Run, SaysWhichOfSeveralOutputsIsTakenAndTakesTheOneThatIsChosen) {
  Recipe several = with_two_outputs(recipe(), folder_.path() / "several.lmb");
  const std::string note = "m has several outputs: 'aux' is taken for its logits, not 'main'. Choose with logits: main";
  EXPECT_EQ(notes_of(several), (std::vector<std::string>{note, note})) << "of both stages";
  training(several).logits = "main";
  EXPECT_EQ(notes_of(several), std::vector<std::string>{}) << "the trained model keeps the choice";
  EXPECT_EQ(graph::load_lmb(stage_file("model.lmb")).eval_outputs.at(1).name, "logits");
  Recipe plain = recipe();
  plain.models[0].second.file = (folder_.path() / "plain.lmb").string();
  make_model(recipe().models[0].second, 1).save(plain.models[0].second.file);
  plain.models[0].second.zoo.clear();
  plain.models[0].second.options.clear();
  EXPECT_EQ(last_loss(several), last_loss(plain)) << "as a model with this output alone";
  training(several).logits = "mian";
  EXPECT_EQ(refusal(several),
            "[train] model 'm': [model] there is no output 'mian'. Nearest: main. There are: aux, main");
}

/// A folder of two classes with four equal images each, of which the first of each part is damaged.
void write_damaged_folder(const fs::path& root) {
  for (const std::string part : {"train", "test"}) {
    for (const std::string label : {"a", "b"}) {
      fs::create_directories(root / part / label);
      for (int i = 0; i < 4; ++i)
        fs::copy_file(LIMBECK_SOURCE_DIR "/tests/data/images/colours_420.jpg",
                      root / part / label / (std::to_string(i) + ".jpg"));
    }
    core::write_file(root / part / "a" / "0.jpg", "no image");
  }
}

TEST_F(Run, GoesOnWithoutDamagedImagesEverywhereWhenAsked) {
  write_damaged_folder(folder_.path() / "images");
  const auto with = [&](const std::string& on_error) {
    return parse_recipe(
        fmt::format(
            "name: x\noutput: {0}/out\ndata: {{dataset: \"folder:{0}/images\", batch_size: 4, on_error: {1}, "
            "test_transforms: [{{resize: {{size: [8, 8]}}}}], train_transforms: [{{resize: {{size: [8, 8]}}}}]}}\n"
            "models: {{m: {{zoo: resnet_basic, options: {{widths: [4, 4], blocks: [1, 1], image_size: 8, "
            "classes: 2}}}}}}\nstages:\n  - train: {{model: m}}\n  - evaluate: {{latency_runs: 0}}\n",
            folder_.path().string(), on_error),
        "r.yaml");
  };
  EXPECT_THROW(run(with("raise"), {}), IoError);
  EXPECT_EQ(notes_of(with("skip")), std::vector<std::string>{"one sample could not be read and was left out"});
  const RunResult result = run(with("skip"), {});
  EXPECT_EQ(result.comparison->rows.at(0).accuracy.num_samples, 7);
}

/// What is wrong with the second training is said before the first one begins.
TEST_F(Run, ChecksLaterStagesBeforeTheFirstOneTrains) {
  std::vector<Recipe> wrong(4, recipe());
  for (Recipe& one : wrong) {
    TrainStage second = training(one);
    second.name = "second";
    one.stages.insert(one.stages.begin() + 1, second);
  }
  std::get<TrainStage>(wrong[0].stages[1]).freeze = {"nowhere"};
  std::get<TrainStage>(wrong[1].stages[1]).train.optimizer.groups = {{.pattern = "nowhere"}};
  std::get<EvaluateStage>(wrong[2].stages[2]).latency_runs = 1;
  std::get<EvaluateStage>(wrong[2].stages[2]).latency_batch = 65;
  wrong[3].models.push_back({"other", wrong[3].models[0].second});
  wrong[3].models[1].second.options["classes"] = "5";
  std::get<TrainStage>(wrong[3].stages[1]).model = "other";
  for (const Recipe& one : wrong) {
    EXPECT_NE(refusal(one), "accepted");
    EXPECT_FALSE(fs::exists(folder_.path() / "out")) << refusal(one);
  }
}

TEST_F(Run, SaysHowMuchOfAnEpochIsLeftOutAndTrainsOnItWhenAsked) {
  Recipe odd = recipe();
  training(odd).train.epochs = 1;
  odd.data.batch_size = 50;
  const std::vector<std::string> notes = notes_of(odd);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_TRUE(notes[0].starts_with("14 of 64 training samples (22 %), others in each epoch, fill no batch of 50"))
      << notes[0];
  const auto steps_of = [](const Recipe& recipe) {
    const RunResult result = run(recipe, {});
    return core::JsonView(result.report, "report")["stages"]["m"]["steps"].as_int();
  };
  EXPECT_EQ(steps_of(odd), 1);
  odd.data.drop_last = false;
  EXPECT_EQ(notes_of(odd), std::vector<std::string>{});
  EXPECT_EQ(steps_of(odd), 2);
  odd.data.batch_size = 1000;
  EXPECT_EQ(steps_of(odd), 1) << "a batch of all";
}

TEST_F(Run, NamesTheDevicesThatThereAre) {
  Recipe elsewhere = recipe();
  elsewhere.device = "xpu:7";
  try {
    run(elsewhere, {});
    FAIL();
  } catch (const Unsupported& error) {
    EXPECT_NE(std::string(error.what()).find("there is no device 'xpu:7' here. There is: cpu"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace limbeck::recipe
