#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "limbeck/core/table.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/capture/capture.h"
#include "limbeck/graph/weights/tensors.h"
#include "limbeck/load/load.h"
#include "limbeck/zoo/zoo.h"
#include "tests/cli/process.h"
#include "tests/cli/tiny.h"

namespace limbeck::testing {
namespace {

namespace fs = std::filesystem;
using core::Json;
using core::JsonView;

/// Runs with --json and reads the answer.
Json json_of(std::vector<std::string> arguments, const ProcessOptions& options = {}) {
  arguments.emplace_back("--json");
  const Finished done = run_limbeck(arguments, options);
  EXPECT_EQ(done.exit_code, 0) << done.err;
  return done.json();
}

std::string text_of(const std::vector<std::string>& arguments, const ProcessOptions& options = {}) {
  const Finished done = run_limbeck(arguments, options);
  EXPECT_EQ(done.exit_code, 0) << done.err;
  return done.out;
}

void expect_narrow(const std::string& text) {
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) EXPECT_LE(core::display_width(line), 80U) << line;
}

class Verbs : public ::testing::Test {
 protected:
  std::string path(const char* name) const { return (folder_.path() / name).string(); }
  const std::string model_ = tiny_trained_model().string();

 private:
  core::TemporaryDirectory folder_;
};

std::string recipe_text(const std::string& output) {
  return "name: tiny\noutput: " + output +
         "\n"
         "data: {dataset: 'synthetic:4x1x8x8?n=64', batch_size: 16}\n"
         "models:\n"
         "  t: {zoo: resnet_basic, options: {widths: [8, 8], blocks: [1, 1], image_size: 8, in_channels: 1, classes: "
         "4}}\n"
         "  s: {zoo: resnet_basic, options: {widths: [4, 4], blocks: [1, 1], image_size: 8, in_channels: 1, classes: "
         "4}}\n"
         "stages:\n"
         "  - train: {model: t, epochs: 1}\n"
         "  - distill: {student: s, teacher: t, features: [{student: avgpool, teacher: avgpool}], epochs: 1}\n"
         "  - evaluate: {latency_runs: 5}\n";
}

TEST_F(Verbs, RunTrainsDistilsComparesAndTakesTheSecondTimeFromItsCache) {
  core::write_file(path("r.yaml"), recipe_text(path("out")));
  const Finished first = run_limbeck({"run", path("r.yaml")});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  expect_narrow(first.out.substr(0, first.out.find("Results: ")));  // what follows are paths
  for (const std::string& part : {std::string("Results: "), path("out/t/model.lmb"), path("out/s/model.lmb")})
    EXPECT_TRUE(contains(first.out, part)) << first.out;
  EXPECT_TRUE(contains(first.err, "[1/3] t  epoch 1/1")) << first.err;
  EXPECT_FALSE(contains(first.err, "cache"));
  EXPECT_TRUE(contains(core::read_file(path("out/report.md")), "| t |"));
  const Finished second = run_limbeck({"run", path("r.yaml"), "--json"});
  EXPECT_EQ(second.exit_code, 0);
  EXPECT_EQ(second.err, "");
  const Json report = second.json();
  EXPECT_EQ(report, core::parse_json(core::read_file(path("out/report.json"))));
  EXPECT_EQ(JsonView(report, "report")["stages"]["evaluate"]["comparison"]["models"].size(), 2U);
  const Finished third = run_limbeck({"run", path("r.yaml")});
  EXPECT_TRUE(contains(third.err, "[3/3] evaluate  taken from its cache")) << third.err;
}

TEST_F(Verbs, RunPlansWithoutTraining) {
  core::write_file(path("r.yaml"), recipe_text(path("out")));
  const std::string plan = text_of({"run", path("r.yaml"), "--dry-run", "--set", "stages.t.epochs=7"});
  EXPECT_TRUE(contains(plan, "28 steps")) << plan;
  EXPECT_TRUE(contains(plan, "feature avgpool <- avgpool")) << plan;
  expect_narrow(plan);
  EXPECT_FALSE(fs::exists(path("out/t/model.lmb")));
  const Json json = json_of({"run", path("r.yaml"), "--dry-run"});
  EXPECT_EQ(JsonView(json, "plan")["stages"].size(), 3U);
}

TEST_F(Verbs, DistillWritesAStudentThatEvaluateComparesWithItsTeacher) {
  const Finished done =
      run_limbeck({"distill", "--student", "resnet_basic?widths=4,4&blocks=1,1&image_size=8&in_channels=1&classes=4",
                   "--teacher", model_, "--feature", "avgpool=avgpool:10", "--temperature", "2", "--data", kTinyData,
                   "--data.batch_size", "16", "--epochs", "2", "-o", path("out"), "--quiet"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(done.err, "");
  const std::string student = path("out/student/model.lmb");
  ASSERT_TRUE(fs::exists(student));
  const Json json = json_of({"evaluate", student, model_, "--data", kTinyData, "--latency_runs", "3"});
  const JsonView rows = JsonView(json, "report")["stages"]["evaluate"]["comparison"]["models"];
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_LT(rows[0]["parameters"].as_int(), rows[1]["parameters"].as_int());
  for (const JsonView& row : rows.elements()) EXPECT_GT(row["latency"]["p50_ms"].as_double(), 0);
}

TEST_F(Verbs, EvaluatePrintsATableAndLeavesNothingBehind) {
  const std::string text = text_of({"evaluate", model_, "--data", kTinyData, "--latency_runs", "0"});
  EXPECT_TRUE(contains(text, "%")) << text;
  EXPECT_FALSE(contains(text, "Results: ")) << text;
  expect_narrow(text);
}

/// A model is tested with what it was trained with, unless the user says otherwise.
TEST_F(Verbs, EvaluateNormalizesAsTheModelWasTrained) {
  const Finished done =
      run_limbeck({"train", kTinyModel, "--data", kTinyData, "--data.batch_size", "16", "--epochs", "3",
                   "--optimizer.lr", "0.1", "--data.mean", "[0.9]", "--data.stddev", "[0.1]", "-o", path("out")});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  const auto nll = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"evaluate", path("out/model/model.lmb"), "--data", kTinyData, "--latency_runs",
                                       "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Json json = json_of(arguments);
    const JsonView report(json, "report");
    return report["stages"]["evaluate"]["comparison"]["models"][0]["accuracy"]["nll"].as_double();
  };
  const double own = nll({});
  EXPECT_EQ(own, nll({"--data.mean", "[0.9]", "--data.stddev", "[0.1]"}));
  EXPECT_NE(own, nll({"--data.mean", "[0.1]", "--data.stddev", "[0.9]"}));
}

TEST_F(Verbs, EvaluateRefusesALatencyBatchLargerThanTheData) {
  const Finished done =
      run_limbeck({"evaluate", model_, "--data", kTinyData, "--data.test_limit", "8", "--latency_batch", "9"});
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_TRUE(contains(done.err, "latency_batch is 9 and the test set has 8 samples")) << done.err;
}

TEST_F(Verbs, EvaluateKeepsItsReportWhereAsked) {
  const std::string text =
      text_of({"evaluate", model_, "--data", kTinyData, "--latency_runs", "0", "-o", path("report")});
  EXPECT_TRUE(contains(text, "Results: " + path("report"))) << text;
  EXPECT_TRUE(contains(core::read_file(path("report/report.md")), "%"));
}

int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

constexpr const char* kRandom = "weights are random";

TEST_F(Verbs, ZooNamesAreSaidOnceToHaveRandomWeights) {
  const std::string image = test_file("data/images/gray.png"), report = path("report"), students = path("students");
  const std::vector<std::string> prepared{"--resize", "8", "8", "--mean", "0.5", "--stddev", "0.5"};
  std::vector<std::string> infer{"infer", kTinyModel, "--input", image};
  infer.insert(infer.end(), prepared.begin(), prepared.end());
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"evaluate", kTinyModel, "--data", kTinyData, "--latency_runs", "0", "-o", report},
        {"distill", "--student", kTinyModel, "--teacher", kTinyModel, "--data", kTinyData, "--epochs", "1",
         "--data.batch_size", "16", "-o", students},
        infer}) {
    const Finished done = run_limbeck(arguments);
    EXPECT_EQ(done.exit_code, 0) << done.err;
    std::string words = done.err;  // without the breaks of lines
    for (std::size_t at = 0; (at = words.find("\n    ", at)) != std::string::npos;) words.replace(at, 5, " ");
    EXPECT_EQ(count_of(words, kRandom), 1) << done.err;
  }
  EXPECT_EQ(count_of(core::read_file(report + "/report.md"), kRandom), 1);
  EXPECT_EQ(count_of(core::read_file(students + "/report.md"), kRandom), 1);
  infer.emplace_back("--json");
  const Json answer = run_limbeck(infer).json();
  EXPECT_TRUE(contains(JsonView(answer, "answer")["notes"][0].as_string(), kRandom));
  EXPECT_TRUE(contains(text_of({"profile", kTinyModel, "--runs", "0"}), "random"));
}

TEST_F(Verbs, TrainedModelsAreNotSaidToHaveRandomWeights) {
  const Finished done = run_limbeck({"evaluate", model_, "--data", kTinyData, "--latency_runs", "0"});
  EXPECT_FALSE(contains(done.out + done.err, "random")) << done.out << done.err;
  const Finished distilled = run_limbeck({"distill", "--student", kTinyModel, "--teacher", model_, "--data", kTinyData,
                                          "--epochs", "1", "--data.batch_size", "16", "-o", path("s")});
  EXPECT_FALSE(contains(distilled.out + distilled.err, "random")) << distilled.err;
  EXPECT_FALSE(contains(text_of({"profile", model_, "--runs", "0"}), "random"));
  const Json answer = json_of({"infer", model_, "--input", test_file("data/images/gray.png")});
  EXPECT_EQ(JsonView(answer, "answer")["notes"].size(), 0U);
}

TEST_F(Verbs, InferNamesTheLikeliestClassesOfImages) {
  const std::string image = test_file("data/images/gray.png"), other = test_file("data/images/rgb.jpg");
  const Json json = json_of({"infer", model_, "--input", image, other, "--top", "9"});
  const JsonView results = JsonView(json, "answer")["results"];
  ASSERT_EQ(results.size(), 2U);
  for (const JsonView& result : results.elements()) {
    ASSERT_EQ(result["classes"].size(), 4U);
    double sum = 0, last = 1;
    for (const JsonView& guess : result["classes"].elements()) {
      EXPECT_LE(guess["probability"].as_double(), last);
      last = guess["probability"].as_double();
      sum += last;
      EXPECT_EQ(guess["label"].as_string(), std::to_string(guess["class"].as_int()));
    }
    EXPECT_NEAR(sum, 1, 1e-5);
  }
  EXPECT_EQ(results[1]["input"].as_string(), other);
  const std::string text = text_of({"infer", model_, "--input", image, "--top", "2"});
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;
  EXPECT_TRUE(contains(text, image));
}

TEST_F(Verbs, InferTakesFoldersAndSkipsWhatCannotBeRead) {
  fs::create_directories(path("in/below"));
  for (const char* name : {"in/b.PNG", "in/c.png", "in/below/d.png"})
    fs::copy_file(test_file("data/images/gray.png"), path(name));
  core::write_file(path("in/a.jpg"), "no image");
  core::write_file(path("in/notes.txt"), "no image either");
  const std::string other = test_file("data/images/rgb.jpg");
  const Finished refused = run_limbeck({"infer", model_, "--input", path("in"), "--input", other});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_TRUE(contains(refused.err, path("in/a.jpg"))) << refused.err;
  const Json json = json_of({"infer", model_, "--input", path("in"), "--input", other, "--on_error", "skip"});
  const JsonView answer(json, "answer");
  ASSERT_EQ(answer["results"].size(), 3U);
  EXPECT_EQ(answer["results"][0]["input"].as_string(), path("in/b.PNG"));
  EXPECT_EQ(answer["results"][1]["input"].as_string(), path("in/c.png"));
  EXPECT_EQ(answer["results"][2]["input"].as_string(), other);
  EXPECT_EQ(answer["skipped"][0]["input"].as_string(), path("in/a.jpg"));
  const Finished shown = run_limbeck({"infer", model_, "--input", path("in"), "--on_error", "skip", "--top", "1"});
  EXPECT_TRUE(contains(shown.err, "1 of 3 images could not be read and were left out")) << shown.err;
  EXPECT_TRUE(contains(shown.out, "probability")) << shown.out;
  text_of({"infer", model_, "--input", path("in"), "--on_error", "skip", "--output", path("y.safetensors")});
  EXPECT_EQ(core::SafetensorsFile::open(path("y.safetensors")).metadata().at("rows"),
            Json::array(std::vector<std::string>{path("in/b.PNG"), path("in/c.png")}).dump());
  fs::remove(path("in/b.PNG"));
  fs::remove(path("in/c.png"));
  const Finished none = run_limbeck({"infer", model_, "--input", path("in"), "--on_error", "skip"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_TRUE(contains(none.err, "none of the 1 images can be read; the first:")) << none.err;
}

TEST_F(Verbs, InferWritesOutputsOfImagesWhoseNamesAreNoUtf8) {
  fs::create_directories(path("odd"));
  const std::string stem = path("odd") + "/" + std::string(50, 'a');
  fs::copy_file(test_file("data/images/gray.png"), stem + "\xe9.png");
  const Finished done = run_limbeck({"infer", model_, "--input", path("odd"), "--output", path("y.safetensors")});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(core::SafetensorsFile::open(path("y.safetensors")).metadata().at("rows"),
            Json::array(std::vector<std::string>{stem + "\\xe9.png"}).dump());
}

TEST_F(Verbs, InferRunsTensorsByNameAndByPosition) {
  at::manual_seed(1);
  const at::Tensor x = at::randn({5, 1, 8, 8});
  Model model = load(model_);
  const at::Tensor expected = model(x).detach();
  const std::string input_name = model.graph().inputs.at(0).name;
  for (const std::string& name : {input_name, std::string("anything")}) {
    weights::write_tensors(path("x.safetensors"), std::vector<weights::NamedTensor>{{name, x}});
    const Finished done =
        run_limbeck({"infer", model_, "--input", path("x.safetensors"), "--output", path("y.safetensors")});
    ASSERT_EQ(done.exit_code, 0) << done.err;
    EXPECT_TRUE(contains(done.out, "sample 4")) << done.out;
    const auto outputs = weights::read_tensors(core::SafetensorsFile::open(path("y.safetensors")));
    ASSERT_EQ(outputs.size(), 1U);
    EXPECT_EQ(outputs[0].name, "logits");
    EXPECT_TRUE(at::allclose(outputs[0].tensor, expected, 1e-5, 1e-6)) << name;
  }
}

TEST_F(Verbs, InferWritesOutputsThatArePartsOfOneTensor) {
  graph::Graph graph;
  graph::Builder builder(graph);
  const graph::ValueId x = builder.input("x", {graph::IntExpr::symbol("B"), 6});
  const graph::ValueId boxes = builder.call("aten::slice.Tensor", {x, 1, 0, 4, 1});
  builder.outputs({{"boxes", boxes}, {"scores", builder.call("aten::slice.Tensor", {x, 1, 4, 6, 1})}});
  Model(std::move(graph)).save(path("split.lmb"));
  const at::Tensor rows = at::arange(18, at::kFloat).view({3, 6});
  weights::write_tensors(path("x.safetensors"), std::vector<weights::NamedTensor>{{"x", rows}});
  const Finished done =
      run_limbeck({"infer", path("split.lmb"), "--input", path("x.safetensors"), "--output", path("y.safetensors")});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  const auto outputs = weights::read_tensors(core::SafetensorsFile::open(path("y.safetensors")));
  ASSERT_EQ(outputs.size(), 2U);
  EXPECT_TRUE(at::equal(outputs[0].tensor, rows.narrow(1, 0, 4)));
  EXPECT_TRUE(at::equal(outputs[1].tensor, rows.narrow(1, 4, 2)));
}

TEST_F(Verbs, InferRefusesImagesWhereTheModelDoesNotSayHowToPrepareThem) {
  const Finished done = run_limbeck({"infer", kTinyModel, "--input", test_file("data/images/gray.png")});
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_TRUE(contains(done.err, "does not say how images must be prepared")) << done.err;
  EXPECT_TRUE(contains(done.err, "pass a .safetensors file")) << done.err;
}

TEST_F(Verbs, InferPreparesImagesAsTheCommandLineSays) {
  const std::vector<std::string> command{"infer", kTinyModel, "--input", test_file("data/images/gray.png"), "--json"};
  const auto answer_with = [&](const std::string& mean) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), {"--mean", mean, "--stddev", "0.25"});
    return text_of(arguments);
  };
  EXPECT_NE(answer_with("0.5"), answer_with("0.1"));
  EXPECT_EQ(answer_with("0.5"), answer_with("[0.5]"));
  const Finished half = run_limbeck({"infer", kTinyModel, "--input", "a.png", "--mean", "0.5"});
  EXPECT_EQ(half.exit_code, 1);
  EXPECT_TRUE(contains(half.err, "give both --mean and --stddev")) << half.err;
  for (const std::string& model : {tiny_trained_model().string(), std::string(kTinyModel)}) {
    const Finished alone = run_limbeck(
        {"infer", model, "--input", "a.png", "--mean", "0.5", "--stddev", "0.5", "--interpolation", "bicubic"});
    EXPECT_NE(alone.exit_code, 0);
    EXPECT_TRUE(contains(alone.err, "Add --resize SIDE")) << alone.err;
  }
  const Finished alone =
      run_limbeck({"infer", tiny_trained_model().string(), "--input", "a.png", "--interpolation", "bicubic"});
  EXPECT_TRUE(contains(alone.err, "--interpolation bicubic is of --resize, which is not given")) << alone.err;
}

TEST_F(Verbs, ProfileCountsAndTimes) {
  const Json json = json_of({"profile", model_, "--runs", "3", "--batch", "2", "--threads", "1"});
  const JsonView profile(json, "profile");
  int64_t parameters = 0;
  for (const at::Tensor& tensor : load(model_).parameters()) parameters += tensor.numel();
  EXPECT_EQ(profile["parameters"].as_int(), parameters);
  EXPECT_GT(profile["macs"].as_int(), 0);
  EXPECT_EQ(profile["threads"].as_int(), 1);
  EXPECT_EQ(profile["file_bytes"].as_int(), static_cast<int64_t>(fs::file_size(model_)));
  EXPECT_GT(profile["latency"]["p50_ms"].as_double(), 0);
  EXPECT_GT(profile["private_memory_bytes"]["after_load"].as_int(), 0);
  for (const JsonView& scope : profile["scopes"].elements())
    EXPECT_EQ(scope["scope"].as_string().find('.'), std::string::npos);
  const std::string text = text_of({"profile", model_, "--runs", "0", "--depth", "2"});
  EXPECT_TRUE(contains(text, "layer1.0")) << text;
  expect_narrow(text);
}

TEST_F(Verbs, ComputeOnAGpu) {
  if (!at::hasCUDA()) GTEST_SKIP() << "there is no CUDA device here";
  const std::string image = test_file("data/images/gray.png");
  const Json profile = json_of({"profile", model_, "--runs", "3", "--device", "cuda"});
  EXPECT_EQ(JsonView(profile, "profile")["device"].as_string(), "cuda");
  const auto classes = [&](const char* device) {
    return text_of({"infer", model_, "--input", image, "--device", device});
  };
  EXPECT_EQ(classes("cuda"), classes("cpu"));
  EXPECT_TRUE(contains(text_of({"evaluate", model_, "--data", kTinyData, "--device", "cuda"}), "top-1"));
}

TEST_F(Verbs, CapturePrintsWhatItFoundAndWritesIt) {
  const std::string source = test_file("graph/capture/data/tiny_pair.pt2");
  const std::string text = text_of({"capture", source, "-o", path("tiny.lmb")});
  EXPECT_TRUE(contains(text, "train and eval")) << text;
  EXPECT_TRUE(contains(text, "free: ")) << text;
  EXPECT_TRUE(contains(text, "Wrote " + path("tiny.lmb"))) << text;
  EXPECT_EQ(load(path("tiny.lmb")).parameters().size(), load(source).parameters().size());
  const Json json =
      json_of({"capture", test_file("graph/capture/data/tiny_eval_decomposed.pt2"), "-o", path("b1.lmb")});
  EXPECT_GT(JsonView(json, "capture")["notes"].size(), 0U);
  EXPECT_GT(JsonView(json, "capture")["assumptions"].size(), 0U);
  EXPECT_EQ(JsonView(json, "capture")["modes"].as_strings(), std::vector<std::string>{"eval"});
}

TEST_F(Verbs, CaptureDoesNotReplaceWhatItReads) {
  core::write_file(path("mine.lmb"), core::read_file(model_));
  const Finished done = run_limbeck({"capture", path("mine.lmb"), "-o", path("mine.lmb")});
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_TRUE(contains(done.err, "name another file with -o")) << done.err;
  EXPECT_TRUE(core::read_file(path("mine.lmb")) == core::read_file(model_));
}

TEST_F(Verbs, CaptureTakesZooModels) {
  text_of({"capture", std::string("zoo:") + kTinyModel, "-o", path("zoo.lmb")});
  EXPECT_EQ(load(path("zoo.lmb")).parameters().size(), load(kTinyModel).parameters().size());
}

TEST_F(Verbs, CaptureAnswersWithThePythonSnippet) {
  const std::string snippet(capture::python_snippet());
  EXPECT_EQ(text_of({"capture", "--python"}), snippet);
  for (const char* file : {"module.pth", "module_legacy.pth", "state_dict.pth", "state_dict_legacy.pth"}) {
    const Finished done =
        run_limbeck({"capture", test_file(std::string("graph/weights/data/") + file), "-o", path("x.lmb")});
    EXPECT_EQ(done.exit_code, 1) << file;
    EXPECT_EQ(done.out, snippet) << file;
    EXPECT_TRUE(contains(done.err, file)) << done.err;
    EXPECT_FALSE(fs::exists(path("x.lmb")));
  }
}

TEST_F(Verbs, ShowPrintsTextAndTable) {
  const std::string text = text_of({"show", model_});
  EXPECT_EQ(text.substr(0, 6), "graph ");
  EXPECT_TRUE(contains(text, "aten::conv2d(")) << text.substr(0, 2000);
  const std::string table = text_of({"show", model_, "--table"});
  EXPECT_TRUE(contains(table, "aten::conv2d")) << table;
  EXPECT_TRUE(contains(table, "layer1.0.conv1")) << table;
  expect_narrow(table);
  const Json json = json_of({"show", model_});
  EXPECT_EQ(JsonView(json, "show")["text"].as_string(), text);
  EXPECT_GT(JsonView(json, "show")["nodes"].size(), 10U);
}

TEST_F(Verbs, ShowTellsWhatImagesATrainedModelTakes) {
  const Json json = json_of({"show", tiny_trained_model().string()});
  const JsonView shown(json, "show");
  EXPECT_EQ(shown["preprocessing"]["channels"].as_int(), 1);
  EXPECT_EQ(shown["preprocessing"]["mean"].size(), 1U);
  EXPECT_EQ(shown["labels"].size(), 4U);
  const std::string table = text_of({"show", tiny_trained_model().string(), "--table"});
  for (const char* part : {"[1, 8, 8]", "resize [8, 8]", "mean [", "0, 1, 2, 3"})
    EXPECT_TRUE(contains(table, part)) << part << "\n" << table;
  expect_narrow(table);
  EXPECT_FALSE(contains(text_of({"show", kTinyModel, "--table"}), "classes"));
  const Json untrained = json_of({"show", kTinyModel});
  EXPECT_TRUE(JsonView(untrained, "show")["preprocessing"].is_null());
}

TEST_F(Verbs, ShowListsTheZoo) {
  const std::string text = text_of({"show", "--zoo"});
  expect_narrow(text);
  const Json json = json_of({"show", "--zoo"});
  ASSERT_EQ(JsonView(json, "show")["zoo"].size(), zoo::list().size());
  for (const zoo::ZooEntry& entry : zoo::list()) EXPECT_TRUE(contains(text, entry.name)) << entry.name;
}

TEST_F(Verbs, DoctorTellsWhatThereIsAndWhatIsMissing) {
  const std::string text = text_of({"doctor"});
  expect_narrow(text);
  for (const char* part : {"cgroup quota", "tiers", "L2 cache", "OpenMP runtime", "Fashion-MNIST", "bf16"})
    EXPECT_TRUE(contains(text, part)) << part << "\n" << text;
  const Json json = json_of({"doctor"});
  EXPECT_GE(JsonView(json, "doctor")["cores"]["usable"].as_int(), 1);
  EXPECT_EQ(JsonView(json, "doctor")["libtorch"]["OpenMP runtime"].size(), 1U);
}

TEST_F(Verbs, DoctorSaysWhatIsWrongInsteadOfFailing) {
  const ProcessOptions options{.environment = {{"LIMBECK_ISA", "avx1024"}, {"LIMBECK_DATA", path("nothing")}}};
  const Json json = json_of({"doctor"}, options);
  const JsonView doctor(json, "doctor");
  EXPECT_TRUE(doctor["CPU"].value().find("tier used")->is_null());
  EXPECT_TRUE(doctor["data"].value().find("Fashion-MNIST")->is_null());
  ASSERT_GE(doctor["missing"].size(), 2U);
  const std::string text = text_of({"doctor"}, options);
  EXPECT_TRUE(contains(text, "avx1024")) << text;
  EXPECT_TRUE(contains(text, "dataset-fashion-mnist")) << text;
}

TEST_F(Verbs, DataCountsClassesPerSplit) {
  const Json json = json_of({"data", kTinyData});
  const JsonView data(json, "data");
  EXPECT_EQ(data["shape"].as_ints(), (std::vector<int64_t>{1, 8, 8}));
  EXPECT_EQ(data["splits"]["train"]["size"].as_int(), 64);
  int64_t sum = 0;
  for (const auto& [name, count] : data["splits"]["train"]["classes"].members()) sum += count.as_int();
  EXPECT_EQ(sum, 64);
  EXPECT_EQ(data["mean"].size(), 1U);
  EXPECT_GT(data["stddev"][0].as_double(), 0);
  const std::string text = text_of({"data", kTinyData});
  EXPECT_TRUE(contains(text, "images [1, 8, 8]")) << text;
  expect_narrow(text);
}

TEST_F(Verbs, DataSaysTheSidesOfAFolderOfImages) {
  const core::TemporaryDirectory folder;
  for (const auto& [name, image] : {std::pair{"train/cat/1.jpg", "rgb.jpg"},
                                    {"train/dog/1.png", "rgb.png"},
                                    {"val/dog/1.jpg", "exif_6.jpg"},
                                    {"test/cat/1.png", "gray.png"}}) {
    const std::filesystem::path path = folder.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::filesystem::copy_file(test_file(std::string("data/images/") + image), path);
  }
  const std::string spec = "folder:" + folder.path().string();
  const Json json = json_of({"data", spec});
  const JsonView data(json, "data");
  EXPECT_TRUE(data["shape"][1].is_null());
  EXPECT_EQ(data["least_sides"].as_ints(), (std::vector<int64_t>{4, 5}));
  EXPECT_EQ(data["largest_sides"].as_ints(), (std::vector<int64_t>{19, 21}));
  EXPECT_EQ(data["splits"]["train"]["classes"]["dog"].as_int(), 1);
  EXPECT_EQ(data["splits"]["val"]["classes"]["cat"].as_int(), 0);
  EXPECT_EQ(data["mean"].size(), 3U);
  const std::string text = text_of({"data", spec});
  EXPECT_TRUE(contains(text, "images [3, H, W]") && contains(text, "4 to 19 high, 5 to 21 wide")) << text;
  std::ofstream(folder.path() / "train" / "cat" / "1.jpg") << "no image";
  const Finished damaged = run_limbeck({"data", spec});
  EXPECT_EQ(damaged.exit_code, 1);
  EXPECT_TRUE(contains(damaged.err, "train/cat/1.jpg is neither PNG nor JPEG")) << damaged.err;
}

TEST_F(Verbs, TrainTakesAnotherHeadAndFreezesTheRest) {
  const Finished done = run_limbeck({"train",
                                     kTinyModel,
                                     "--model.weights",
                                     model_,
                                     "--model.replace_head.at",
                                     "fc",
                                     "--model.replace_head.classes",
                                     "3",
                                     "--freeze",
                                     "['^(?!fc)']",
                                     "--data",
                                     "synthetic:3x1x8x8?n=64",
                                     "--data.val_size",
                                     "16",
                                     "--data.batch_size",
                                     "8",
                                     "--keep",
                                     "best",
                                     "--early_stop.patience",
                                     "3",
                                     "--accumulate",
                                     "2",
                                     "--ema.decay",
                                     "0.9",
                                     "-o",
                                     path("out")});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  expect_narrow(done.err);
  EXPECT_TRUE(contains(done.err, "new classifier fc for 3 classes; its old weights were\n    left behind")) << done.err;
  const Model before = load(model_), after = load(path("out/model/model.lmb"));
  for (const graph::Parameter& parameter : after.graph().parameters()) {
    if (parameter.name.starts_with("fc.")) continue;
    EXPECT_TRUE(at::equal(parameter.tensor, before.graph().parameter(parameter.name).tensor)) << parameter.name;
  }
  EXPECT_EQ(after.graph().parameter("fc.bias").tensor.size(0), 3);
}

TEST_F(Verbs, TrainRunsSeveralSeedsAndASweep) {
  const std::vector<std::string> arguments{
      "train",     kTinyModel,          "--data", kTinyData, "--seeds", "2", "--sweep", "optimizer.lr=0.1,0.01", "-o",
      path("out"), "--data.batch_size", "16"};
  const Finished done = run_limbeck(arguments);
  EXPECT_EQ(done.exit_code, 0) << done.err;
  expect_narrow(done.out);
  EXPECT_TRUE(contains(done.out, "lr    model  measured")) << done.out;
  EXPECT_TRUE(contains(done.out, "4 runs. Mean and standard deviation (n - 1) over the seeds")) << done.out;
  EXPECT_TRUE(contains(done.err, "Run 4/4 lr=0.01,seed=1")) << done.err;
  const Json report = json_of(arguments);
  EXPECT_EQ(JsonView(report, "report")["trials"]["statistics"].size(), 2U);
  EXPECT_EQ(run_limbeck({"train", kTinyModel, "--data", kTinyData, "--sweep", "epochs", "-o", path("no")}).exit_code,
            2);
}

TEST_F(Verbs, TrainWarnsOfASoftmaxAtTheEnd) {
  graph::Graph graph = load(model_).graph();
  graph::Builder builder(graph);
  builder.outputs({{"", builder.call("aten::softmax.int", {*graph.train_outputs[0].value.value(), 1})}});
  Model(graph).save(path("softmax.lmb"));
  std::vector<std::string> arguments{"train", path("softmax.lmb"), "--data", kTinyData, "--data.batch_size", "16",
                                     "-o",    path("out")};
  const Finished warned = run_limbeck(arguments);
  EXPECT_TRUE(contains(warned.err, "the model ends in a softmax")) << warned.err;
  EXPECT_TRUE(contains(warned.err, "--model.drop_softmax true")) << warned.err;
  arguments.insert(arguments.end(), {"--model.drop_softmax", "true"});
  const Finished done = run_limbeck(arguments);
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_FALSE(contains(done.err, "ends in a softmax")) << done.err;
}

}  // namespace
}  // namespace limbeck::testing
