#include "tests/corpus/corpus_checks.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "limbeck/core/error.h"
#include "limbeck/graph/capture/capture.h"

namespace limbeck::testing {

namespace {

using graph::Mode;

/// Collects the first few findings of one check.
class Findings {
 public:
  explicit Findings(std::string name) : result_{.name = std::move(name), .verdict = {}} {}

  void add(const std::string& finding) {
    if (finding.empty()) return;
    result_.passed = false;
    if (++count_ <= 3) result_.verdict += (result_.verdict.empty() ? "" : "; ") + finding;
  }
  void compare(const std::string& what, const at::Tensor& got, const at::Tensor& want) {
    add(difference(what, got, want));
  }
  void compare(const std::string& what, const Outputs& got, const std::vector<at::Tensor>& want) {
    if (got.tensors.size() != want.size())
      return add(fmt::format("{} has {} outputs, not {}", what, got.tensors.size(), want.size()));
    for (std::size_t i = 0; i < want.size(); ++i)
      compare(fmt::format("{} output {}", what, i), got.tensors[i].tensor, want[i]);
  }

  CheckResult done(const std::string& verdict) {
    if (result_.passed) result_.verdict = verdict;
    if (count_ > 3) result_.verdict += fmt::format(" and {} more", count_ - 3);
    return std::move(result_);
  }

 private:
  CheckResult result_;
  int count_ = 0;
};

Model model_of(graph::Graph graph) {
  Model model(std::move(graph));
  model.accept_assumptions(Mode::both);
  return model;
}

std::string eval_key(int64_t batch) { return "eval/b" + std::to_string(batch) + "/output/"; }

bool is_dynamic(const CorpusModel& corpus, const std::string& file) {
  return corpus.description().find("files")->find(file)->find("dynamic_batch")->as_bool();
}

std::vector<int64_t> batches(const CorpusModel& corpus, const std::string& file) {
  if (!is_dynamic(corpus, file)) return {3};
  std::vector<int64_t> result;
  for (const core::Json& batch : corpus.description().find("eval_batches")->as_array())
    result.push_back(batch.as_int());
  return result;
}

void compare_eval(const CorpusModel& corpus, Model& model, const std::vector<int64_t>& sizes, Findings& findings) {
  const c10::NoGradGuard no_grad;
  model.eval();
  for (const int64_t batch : sizes)
    findings.compare("batch " + std::to_string(batch), model.forward(corpus.inputs(model.graph(), batch)),
                     corpus.numbered(eval_key(batch)));
}

std::vector<std::string> names_in(const CorpusModel& corpus, const char* key) {
  std::vector<std::string> names;
  for (const core::Json& name : corpus.description().find(key)->as_array()) names.push_back(name.as_string());
  return names;
}

void compare_step(const CorpusModel& corpus, Model& model, Findings& findings) {
  model.train();
  auto got = training_step(model, corpus);
  for (std::size_t i = 0; corpus.reference("step/output/" + std::to_string(i)).defined(); ++i) {
    const std::string key = "output/" + std::to_string(i);
    findings.compare(key, got[key], corpus.reference("step/" + key));
  }
  for (const std::string& name : names_in(corpus, "parameters")) {
    for (const char* kind : {"gradient/", "parameter/"}) {
      const at::Tensor want = corpus.reference("step/" + (kind + name));
      if (want.defined()) {
        findings.compare(kind + name, got[kind + name], want);
      } else if (got[kind + name].defined()) {
        findings.add(kind + name + " is there, eager has none");
      }
    }
  }
  for (const std::string& name : names_in(corpus, "buffers"))
    findings.compare("buffer/" + name, got["buffer/" + name], corpus.reference("step/buffer/" + name));
}

Outputs random_run(const CorpusModel& corpus, Model& model) {
  const c10::NoGradGuard no_grad;
  model.train();
  at::manual_seed(static_cast<uint64_t>(corpus.description().find("settings")->find("random_seed")->as_int()));
  return model.forward(corpus.inputs(model.graph(), 3), {.state_updates = StateUpdates::discard});
}

double largest_gradient(const CorpusModel& corpus) {
  double largest = 0;
  for (const std::string& name : names_in(corpus, "parameters")) {
    const at::Tensor gradient = corpus.reference("step/gradient/" + name);
    if (gradient.defined() && gradient.numel() > 0) largest = std::max(largest, gradient.abs().max().item<double>());
  }
  return largest;
}

CheckResult guarded(const std::string& name, const std::function<CheckResult()>& check) {
  try {
    return check();
  } catch (const Error& error) {
    return {.name = name, .verdict = error.what(), .passed = false};
  }
}

/// Whether `name` is a bias whose gradient is a sum that cancels to zero, as in front of a norm over the batch or of a
/// softmax: far below its weight's, and no more than the rounding of the kernels that ran.
bool is_cancelling_bias(const CorpusModel& corpus, const std::string& name) {
  constexpr std::string_view kBias = ".bias";
  if (!name.ends_with(kBias)) return false;
  const std::string layer = name.substr(0, name.size() - kBias.size());
  const at::Tensor bias = corpus.reference("step/gradient/" + name);
  const at::Tensor weight = corpus.reference("step/gradient/" + layer + ".weight");
  if (!bias.defined() || !weight.defined()) return false;
  return bias.abs().max().item<double>() < 1e-4 * weight.abs().max().item<double>();
}

}  // namespace

CheckResult check_eval(const CorpusModel& corpus) {
  Findings findings("eval");
  Model model = model_of(capture::capture(corpus.file("eval.pt2"), {.mode = Mode::eval}));
  compare_eval(corpus, model, batches(corpus, "eval.pt2"), findings);
  return findings.done("bit-equal");
}

CheckResult check_step(const CorpusModel& corpus) {
  Findings findings("step");
  const std::string file = corpus.has_file("train_norandom.pt2") ? "train_norandom.pt2" : "train.pt2";
  Model model = model_of(capture::capture(corpus.file(file), {.mode = Mode::train}));
  compare_step(corpus, model, findings);
  return findings.done("bit-equal");
}

CheckResult check_random(const CorpusModel& corpus) {
  Findings findings("random");
  Model model = model_of(capture::capture(corpus.file("train.pt2"), {.mode = Mode::train}));
  findings.compare("random", random_run(corpus, model), corpus.numbered("random/output/"));
  return findings.done("bit-equal");
}

CheckResult check_pair(const CorpusModel& corpus) {
  Findings findings("pair");
  Model model(capture::capture(corpus.file("pair.pt2")));
  compare_eval(corpus, model, batches(corpus, "pair.pt2"), findings);
  findings.compare("random", random_run(corpus, model), corpus.numbered("random/output/"));
  compare_eval(corpus, model, {3}, findings);
  std::optional<graph::Graph> calm = without_randomness(capture::capture(corpus.file("pair.pt2")));
  if (!calm) return findings.done("bit-equal, without the step: its draws can't be turned off");
  Model stepping(*std::move(calm));
  compare_step(corpus, stepping, findings);
  return findings.done("bit-equal");
}

CheckResult check_batch_1(const CorpusModel& corpus) {
  Findings findings("batch 1");
  Model model = model_of(capture::capture(corpus.file("eval_b1.pt2"), {.mode = Mode::eval}));
  compare_eval(corpus, model, {1}, findings);
  try {
    compare_eval(corpus, model, {7, 33}, findings);
  } catch (const Error& error) {
    const std::string message = error.what();
    if (message.find("dynamic_shapes=") == std::string::npos) findings.add("refused without the fix: " + message);
    return findings.done("refused: " + model.graph().metadata.at(graph::kFixedBatchKey));
  }
  return findings.done("bit-equal at 1, 7, 33");
}

CheckResult check_decomposed(const CorpusModel& corpus) {
  constexpr double kLimit = 1e-5;
  Findings findings("decomposed");
  if (!corpus.has_file("train_decomposed.pt2")) return findings.done("PyTorch can't decompose it");
  double worst = 0;
  const double gradient = largest_gradient(corpus);
  const auto measure = [&](const std::string& what, const at::Tensor& got, const at::Tensor& want) {
    const double error = relative_difference(got, want, gradient);
    worst = std::max(worst, error);
    if (!(error <= kLimit)) findings.add(fmt::format("{} is off by {:.3g}", what, error));
  };
  Model eval = model_of(capture::capture(corpus.file("eval_decomposed.pt2"), {.mode = Mode::eval}));
  {
    const c10::NoGradGuard no_grad;
    eval.eval();
    const Outputs outputs = eval.forward(corpus.inputs(eval.graph(), 3));
    for (std::size_t i = 0; i < outputs.tensors.size(); ++i)
      measure("eval output " + std::to_string(i), outputs.tensors[i].tensor,
              corpus.reference(eval_key(3) + std::to_string(i)));
  }
  Model train = model_of(capture::capture(corpus.file("train_decomposed.pt2"), {.mode = Mode::train}));
  train.train();
  auto got = training_step(train, corpus);
  for (const auto& [key, value] : got) {
    if (is_cancelling_bias(corpus, key.substr(key.find('/') + 1))) continue;
    const at::Tensor want = corpus.reference("step/" + key);
    if (want.defined()) measure(key, value, want);
  }
  for (const std::string& name : names_in(corpus, "parameters")) {
    if (corpus.reference("step/gradient/" + name).defined() && !got["gradient/" + name].defined())
      findings.add("no gradient for " + name);
  }
  return findings.done(fmt::format("{:.2g}", worst));
}

CheckResult check_drop_rates(const CorpusModel& corpus) {
  Findings findings("drop rates");
  Model model(capture::capture(corpus.file("pair.pt2")));
  std::vector<std::pair<std::string, double>> taps;
  for (const graph::NodeId id : model.graph().order()) {
    const graph::Node& node = model.graph().node(id);
    if (node.op->is("limbeck::drop_path")) taps.emplace_back(node.names[0], *node.arguments[1].as_double());
  }
  if (taps.empty()) return findings.done("none");
  RunOptions options{.taps = {}, .state_updates = StateUpdates::discard};
  for (const auto& tap : taps) options.taps.push_back(tap.first);
  const c10::NoGradGuard no_grad;
  model.train();
  at::manual_seed(7);
  constexpr int64_t kBatch = 33, kRuns = 8;
  int64_t total = 0;
  double expected = 0, variance = 0;
  for (int64_t run = 0; run < kRuns; ++run) {
    const Outputs outputs = model.forward(corpus.inputs(model.graph(), kBatch), options);
    for (std::size_t i = 0; i < taps.size(); ++i) {
      const at::Tensor rows = outputs.taps[i].tensor.flatten(1);  // samples, or windows of samples
      total += rows.eq(0).all(1).sum().item<int64_t>();
      expected += taps[i].second * static_cast<double>(rows.size(0));
      variance += taps[i].second * (1 - taps[i].second) * static_cast<double>(rows.size(0));
    }
  }
  const double sigmas = (static_cast<double>(total) - expected) / std::sqrt(variance);
  if (std::abs(sigmas) > 3)
    findings.add(fmt::format("{} of {} expected dropped: {:.1f} sigma", total, expected, sigmas));
  return findings.done(fmt::format("{} sites, {:+.1f} sigma", taps.size(), sigmas));
}

std::vector<CheckResult> check_model(const CorpusModel& corpus) {
  std::vector<CheckResult> results;
  const std::pair<const char*, CheckResult (*)(const CorpusModel&)> kChecks[] = {{"eval", check_eval},
                                                                                 {"step", check_step},
                                                                                 {"random", check_random},
                                                                                 {"pair", check_pair},
                                                                                 {"batch 1", check_batch_1},
                                                                                 {"decomposed", check_decomposed},
                                                                                 {"drop rates", check_drop_rates}};
  for (const auto& [name, check] : kChecks) results.push_back(guarded(name, [&, run = check] { return run(corpus); }));
  return results;
}

}  // namespace limbeck::testing
