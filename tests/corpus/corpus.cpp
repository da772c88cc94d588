#include "tests/corpus/corpus.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <fmt/core.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/files/safetensors.h"
#include "limbeck/graph/weights/tensors.h"

namespace limbeck::testing {

namespace {

core::Json read_json(const std::filesystem::path& path) {
  return core::parse_json(core::read_file(path), path.string());
}

}  // namespace

CorpusModel::CorpusModel(std::filesystem::path folder)
    : folder_(std::move(folder)),
      name_(folder_.filename().string()),
      description_(read_json(folder_ / "reference.json")) {
  for (auto& [name, tensor] : weights::read_tensors(core::SafetensorsFile::open(folder_ / "reference.safetensors")))
    tensors_.emplace(name, tensor);
}

at::Tensor CorpusModel::reference(const std::string& key) const {
  const auto found = tensors_.find(key);
  return found == tensors_.end() ? at::Tensor() : found->second;
}

std::vector<at::Tensor> CorpusModel::numbered(const std::string& prefix) const {
  std::vector<at::Tensor> result;
  for (int i = 0; reference(prefix + std::to_string(i)).defined(); ++i)
    result.push_back(reference(prefix + std::to_string(i)));
  return result;
}

Inputs CorpusModel::inputs(const graph::Graph& graph, int64_t batch) const {
  const std::vector<at::Tensor> all = numbered("input/");
  LIMBECK_CHECK(all.size() == graph.inputs.size(), "{} has {} inputs, the graph {}", name_, all.size(),
                graph.inputs.size());
  std::vector<NamedTensor> tensors;
  for (const at::Tensor& tensor : all) tensors.push_back({"", tensor.narrow(0, 0, batch).clone()});
  return Inputs(std::move(tensors));
}

bool CorpusModel::has_randomness() const { return !description_.as_object().find("drop_rates")->as_object().empty(); }

std::filesystem::path corpus_folder() {
  if (const char* folder = std::getenv("LIMBECK_CORPUS")) return folder;
  return std::filesystem::path(LIMBECK_SOURCE_DIR) / "build" / "corpus";
}

std::string corpus_selection() {
  const char* selection = std::getenv("LIMBECK_CORPUS_MODELS");
  return selection == nullptr ? "fast" : selection;
}

std::vector<std::string> corpus_models() {
  std::vector<std::string> names;
  const std::filesystem::path folder = corpus_folder();
  const std::string selection = corpus_selection();
  if (selection == "none" || !std::filesystem::exists(folder / "index.json")) return names;
  const core::Json index = read_json(folder / "index.json");
  for (const core::Json& name : index.find("models")->as_array()) {
    const core::Json description = read_json(folder / name.as_string() / "reference.json");
    const bool is_quick = description.find("fast")->as_bool() || name.as_string().rfind("random_", 0) == 0;
    if (selection == "all" || is_quick) names.push_back(name.as_string());
  }
  return names;
}

void use_reference_settings() {
  at::set_num_threads(2);
  at::globalContext().setDeterministicAlgorithms(true, true);
  at::globalContext().setDeterministicFillUninitializedMemory(false);
}

std::map<std::string, at::Tensor> training_step(Model& model, const CorpusModel& corpus) {
  constexpr double kLearningRate = 0.01;
  std::map<std::string, at::Tensor> result;
  const Outputs outputs = model.forward(corpus.inputs(model.graph(), 3));
  std::vector<at::Tensor> roots, gradients;
  for (std::size_t i = 0; i < outputs.tensors.size(); ++i) {
    result["output/" + std::to_string(i)] = outputs.tensors[i].tensor.detach();
    const at::Tensor cotangent = corpus.reference("step/cotangent/" + std::to_string(i));
    if (!cotangent.defined()) continue;
    roots.push_back(outputs.tensors[i].tensor);
    gradients.push_back(cotangent);
  }
  torch::autograd::backward(roots, gradients);
  const c10::NoGradGuard no_grad;
  for (const NamedTensor& parameter : model.named_parameters()) {
    if (parameter.tensor.grad().defined()) {
      result["gradient/" + parameter.name] = parameter.tensor.grad().clone();
      parameter.tensor.add_(parameter.tensor.grad(), -kLearningRate);
    }
    result["parameter/" + parameter.name] = parameter.tensor.detach();
  }
  for (const NamedTensor& buffer : model.named_buffers()) result["buffer/" + buffer.name] = buffer.tensor;
  return result;
}

std::optional<graph::Graph> without_randomness(graph::Graph graph) {
  for (const graph::NodeId id : graph.order()) {
    const graph::OpInfo& op = *graph.node(id).op;
    const bool is_attention = op.is("aten::scaled_dot_product_attention");
    if (op.is("aten::dropout") || op.is("aten::feature_dropout") || op.is("limbeck::drop_path")) {
      graph.edit(id).arguments[1] = 0.0;
    } else if (is_attention) {
      graph.edit(id).arguments[4] = 0.0;
    } else if (op.traits.is_random) {
      return std::nullopt;
    }
  }
  return graph;
}

std::string difference(const std::string& what, const at::Tensor& got, const at::Tensor& want) {
  if (!got.defined()) return what + " is missing";
  if (got.sizes() != want.sizes() || got.scalar_type() != want.scalar_type())
    return fmt::format("{} is {} {} instead of {} {}", what, c10::toString(got.scalar_type()), c10::str(got.sizes()),
                       c10::toString(want.scalar_type()), c10::str(want.sizes()));
  if (at::equal(got, want)) return "";
  const at::Tensor a = got.to(at::kDouble), b = want.to(at::kDouble);
  return fmt::format("{} differs by {} of {}", what, (a - b).abs().max().item<double>(), b.abs().max().item<double>());
}

double relative_difference(const at::Tensor& got, const at::Tensor& want, double largest_gradient) {
  if (!got.defined() || got.sizes() != want.sizes()) return HUGE_VAL;
  if (want.numel() == 0 || at::equal(got, want)) return 0;
  const at::Tensor a = got.to(at::kDouble), b = want.to(at::kDouble);
  const double scale = b.abs().max().item<double>() + 1e-3 * largest_gradient;
  const double error = (a - b).abs().max().item<double>();
  return scale > 0 ? error / scale : HUGE_VAL;
}

}  // namespace limbeck::testing
