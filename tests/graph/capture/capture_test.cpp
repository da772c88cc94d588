#include "limbeck/graph/capture/capture.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/graph/verify.h"
#include "tests/graph/capture/golden.h"
#include "tests/support/golden_machine.h"

namespace limbeck::capture {
namespace {

using graph::Graph;
using graph::Mode;
using testing::count_op;
using testing::golden_file;

const std::vector<std::string>& cases() {
  static const std::vector<std::string> names{"tiny", "named_outputs", "dropping", "views", "tied", "keywords"};
  return names;
}

/// Rounding of other kernels than those that the reference was made with.
constexpr double kOtherKernels = 1e-5;

double golden_tolerance() { return testing::is_golden_machine() ? 0 : kOtherKernels; }

void expect_eval_outputs(const Graph& graph, const std::string& name, double tolerance = golden_tolerance()) {
  const auto want = testing::golden_tensors(name, "eval/output/"), got = testing::run_golden(graph, name);
  ASSERT_EQ(got.size(), want.size()) << name;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (tolerance == 0) {
      EXPECT_TRUE(at::equal(got[i], want[i])) << name << " output " << i;
    } else {
      EXPECT_TRUE(at::allclose(got[i], want[i], tolerance, tolerance)) << name << " output " << i;
    }
  }
}

class Golden : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Cases, Golden, ::testing::ValuesIn(cases()), [](const auto& test) { return test.param; });

TEST_P(Golden, EvalExportRunsAsInPython) {
  const Graph graph = capture(golden_file(GetParam() + "_eval.pt2"), {.mode = Mode::eval});
  EXPECT_EQ(graph::find_faults(graph), std::vector<std::string>{});
  expect_eval_outputs(graph, GetParam());
}

TEST_P(Golden, PairRunsAsInPython) {
  const Graph graph = capture(golden_file(GetParam() + "_pair.pt2"));
  EXPECT_TRUE(graph.assumptions.empty());
  EXPECT_EQ(graph::find_faults(graph), std::vector<std::string>{});
  expect_eval_outputs(graph, GetParam());
}

TEST_P(Golden, TwoFilesAreAPairToo) {
  const Graph graph = capture_pair(golden_file(GetParam() + "_eval.pt2"), golden_file(GetParam() + "_train.pt2"));
  EXPECT_TRUE(graph.assumptions.empty());
  expect_eval_outputs(graph, GetParam());
}

TEST(CapturePair, RefusesExchangedFiles) {
  try {
    capture_pair(golden_file("tiny_train.pt2"), golden_file("tiny_eval.pt2"));
    FAIL() << "train and eval were exchanged unnoticed";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("exchange them"), std::string::npos) << error.what();
  }
}

TEST(Capture, SaysWhenTheModeAskedForIsNotTheExports) {
  const Graph graph = capture(golden_file("tiny_eval.pt2"), {.mode = Mode::train});
  EXPECT_NE(graph.metadata.at(kNotesKey).find("as asked"), std::string::npos);
}

TEST(Capture, UnknownExportsAreNamedWithTheOthers) {
  EXPECT_THROW(capture(golden_file("tiny_pair.pt2"), {.model = "nope"}), InvalidArgument);
}

/// The weights of torch 2.8 stand in a pickle. Its kernels may round differently from ours.
TEST_P(Golden, ReadsArchivesOfTorch28) {
  const std::string results = GetParam() + "_torch2.8";
  const Graph eval = capture(golden_file(GetParam() + "_eval_torch2.8.pt2"), {.mode = Mode::eval});
  expect_eval_outputs(eval, results, kOtherKernels);
  const Graph pair =
      capture_pair(golden_file(GetParam() + "_eval_torch2.8.pt2"), golden_file(GetParam() + "_train_torch2.8.pt2"));
  expect_eval_outputs(pair, results, kOtherKernels);
}

TEST_P(Golden, ABatchOfOneIsFreed) {
  const Graph graph = capture(golden_file(GetParam() + "_eval_b1.pt2"), {.mode = Mode::eval});
  ASSERT_EQ(graph.metadata.count(graph::kFixedBatchKey), 0U) << graph.metadata.at(graph::kFixedBatchKey);
  EXPECT_EQ(graph.inputs[0].type.tensor()->sizes->at(0), graph::IntExpr::symbol("B"));
  expect_eval_outputs(graph, GetParam(), kOtherKernels);
}

TEST(Capture, KeepsAFixedBatchWhenTold) {
  const Graph graph = capture(golden_file("tiny_eval_b1.pt2"), {.mode = Mode::eval, .free_batch = false});
  EXPECT_EQ(graph.inputs[0].type.tensor()->sizes->at(0), graph::IntExpr(1));
}

TEST(Capture, GuessesTheModeAndSaysSo) {
  const Graph train = capture(golden_file("tiny_train.pt2")), eval = capture(golden_file("tiny_eval.pt2"));
  EXPECT_NE(train.metadata.at(kNotesKey).find("taken for an export in train mode"), std::string::npos);
  EXPECT_NE(eval.metadata.at(kNotesKey).find("taken for an export in eval mode"), std::string::npos);
}

TEST(Capture, CountsBatchesAlsoFromAnEvalExport) {
  for (const char* file : {"tiny_eval.pt2", "tiny_train.pt2", "tiny_pair.pt2"}) {
    const Graph graph = capture(golden_file(file));
    ASSERT_EQ(graph.state_writes.size(), 1U) << file;
    EXPECT_EQ(graph.state_writes[0].buffer, "bn.num_batches_tracked");
    EXPECT_EQ(graph.state_writes[0].when, Mode::train);
    EXPECT_EQ(graph.scope(graph.state_writes[0].scope).path, "bn");
  }
}

TEST(Capture, ListsWhatAnEvalExportCannotTell) {
  const auto texts = [](const std::string& file) {
    std::string all;
    for (const graph::Assumption& assumption : capture(golden_file(file), {.mode = Mode::eval}).assumptions)
      all += assumption.text + "\n";
    return all;
  };
  EXPECT_EQ(texts("tiny_eval.pt2"), "");
  EXPECT_NE(texts("named_outputs_eval.pt2").find("parameter 'aux.weight' is not used in eval mode"), std::string::npos);
  EXPECT_NE(texts("keywords_eval.pt2").find("attention: an eval export does not tell its dropout"), std::string::npos);
}

TEST(Capture, MergesOutputsOfBothModes) {
  const Graph graph = capture(golden_file("named_outputs_pair.pt2"));
  EXPECT_EQ(graph.eval_outputs.size(), 1U);
  ASSERT_EQ(graph.train_outputs.size(), 2U);
  EXPECT_EQ(graph.train_outputs[1].name, "auxiliary");
  EXPECT_EQ(graph.train_tree.kind, "namedtuple");
  EXPECT_EQ(graph.train_outputs[0].value, graph.eval_outputs[0].value);
  EXPECT_EQ(count_op(graph, "limbeck::by_mode"), 0U);
}

TEST(Capture, RecognisesStochasticDepthInAllForms) {
  const Graph graph = capture(golden_file("dropping_pair.pt2"));
  std::vector<std::string> forms;
  for (const graph::NodeId id : graph.order()) {
    const graph::Node& node = graph.node(id);
    if (!node.op->is("limbeck::drop_path")) continue;
    EXPECT_EQ(node.arguments[1].as_double(), 0.4);
    forms.push_back(*node.arguments[2].text() + "/" + *node.arguments[3].text());
  }
  EXPECT_EQ(forms, (std::vector<std::string>{"bernoulli/noise", "bernoulli/noise", "floor/input", "bernoulli/none"}));
  EXPECT_EQ(count_op(graph, "limbeck::by_mode"), 0U);
}

TEST(Capture, KeepsAttentionDropoutAsModeArgument) {
  const Graph graph = capture(golden_file("keywords_pair.pt2"));
  for (const graph::NodeId id : graph.order()) {
    const graph::Node& node = graph.node(id);
    if (!node.op->is("aten::scaled_dot_product_attention")) continue;
    EXPECT_EQ(node.arguments[4].as_double(), 0.1);
    EXPECT_EQ(node.pinned_flags, 0U);
  }
  EXPECT_EQ(graph.eval_outputs.size(), 3U);
  EXPECT_EQ(graph.eval_outputs[1].name, "hidden.last");
  EXPECT_TRUE(graph.eval_outputs[2].value.is_none());
}

TEST(Capture, TiesWeightsByIdentity) {
  const Graph graph = capture(golden_file("tied_eval.pt2"), {.mode = Mode::eval});
  EXPECT_TRUE(graph.parameter("first.weight").tensor.is_same(graph.parameter("second.weight").tensor));
  EXPECT_TRUE(graph.parameter("table").tensor.is_alias_of(graph.parameter("turned").tensor));
  EXPECT_FALSE(graph.parameter("first.bias").tensor.is_alias_of(graph.parameter("second.bias").tensor));
}

TEST(Capture, KnowsScopesAndCalls) {
  const Graph graph = capture(golden_file("tied_eval.pt2"), {.mode = Mode::eval});
  const graph::ValueId first = graph.resolve("conv"), second = graph.resolve("conv@1");
  EXPECT_NE(first, second);
  EXPECT_TRUE(graph.node(second.node).op->is("aten::conv1d"));
  EXPECT_EQ(graph.scope(*graph.find_scope("conv")).type, "torch.nn.modules.conv.Conv1d");
}

TEST(Capture, RunsNoGradPartsAsRegions) {
  const Graph graph = capture(golden_file("views_train.pt2"), {.mode = Mode::train});
  bool found = false;
  for (const graph::NodeId id : graph.order()) {
    const graph::Region& region = graph.regions()[graph.node(id).region];
    if (graph.node(id).op->is("aten::lerp.Scalar")) found = region.grad_enabled == false;
  }
  EXPECT_TRUE(found);
  EXPECT_TRUE(std::any_of(graph.state_writes.begin(), graph.state_writes.end(),
                          [](const auto& write) { return write.buffer == "average"; }));
}

TEST(Capture, RaisesDecomposedGraphs) {
  const Graph eval = capture(golden_file("tiny_eval_decomposed.pt2")),
              train = capture(golden_file("tiny_train_decomposed.pt2"));
  for (const Graph* graph : {&eval, &train}) {
    for (const char* op : {"aten::conv2d", "aten::batch_norm", "aten::linear"})
      EXPECT_EQ(count_op(*graph, op), 1U) << op;
    for (const char* op : {"aten::convolution", "aten::addmm", "aten::permute"})
      EXPECT_EQ(count_op(*graph, op), 0U) << op;
  }
  expect_eval_outputs(eval, "tiny", kOtherKernels);
  EXPECT_EQ(train.state_writes.size(), 1U);
  ASSERT_FALSE(eval.assumptions.empty());
  EXPECT_NE(eval.assumptions[0].text.find("run_decompositions() removed it"), std::string::npos);
}

TEST(Capture, RefusesExportsOfDifferentModels) {
  EXPECT_THROW(capture_pair(golden_file("tiny_eval.pt2"), golden_file("tied_train.pt2")), InvalidArgument);
}

TEST(Capture, AnswersOtherFilesWithWhatToDo) {
  const auto message = [](const std::string& path) {
    try {
      capture(path);
    } catch (const IoError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const core::TemporaryDirectory folder(LIMBECK_BINARY_DIR);
  const std::string text = (folder.path() / "a.pt2").string();
  std::ofstream(text) << "not a zip";
  EXPECT_NE(message(text).find("is no zip archive"), std::string::npos);
  EXPECT_NE(message((folder.path() / "missing.pt2").string()).find("missing.pt2"), std::string::npos);
  const std::string whole = core::read_file(golden_file("tiny_eval.pt2"));
  const std::string half = (folder.path() / "half.pt2").string();
  core::write_file(half, whole.substr(0, whole.size() / 2));
  EXPECT_NE(message(half).find("half.pt2"), std::string::npos);
}

TEST(Capture, TheSnippetIsTheTestedScript) {
  EXPECT_EQ(python_snippet(), core::read_file(std::string(LIMBECK_SOURCE_DIR) + "/tests/export/export_pair.py"));
}

}  // namespace
}  // namespace limbeck::capture
