// The corpus that tests/export/make_corpus.py writes: foreign models and what Python eager computes with them.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "limbeck/core/json/json.h"
#include "limbeck/graph/graph.h"
#include "limbeck/model/model.h"

namespace limbeck::testing {

/// One model of the corpus.
class CorpusModel {
 public:
  explicit CorpusModel(std::filesystem::path folder);

  const std::string& name() const { return name_; }
  const core::Json& description() const { return description_; }
  std::string file(const std::string& archive) const { return (folder_ / archive).string(); }
  bool has_file(const std::string& archive) const { return std::filesystem::exists(folder_ / archive); }
  /// A tensor of reference.safetensors, or undefined.
  at::Tensor reference(const std::string& key) const;
  /// Reference tensors "PREFIX0", "PREFIX1", ...
  std::vector<at::Tensor> numbered(const std::string& prefix) const;
  /// The first `batch` rows of every input, by position in the graph's order.
  Inputs inputs(const graph::Graph& graph, int64_t batch) const;
  bool has_randomness() const;

 private:
  std::filesystem::path folder_;
  std::string name_;
  core::Json description_;
  std::map<std::string, at::Tensor> tensors_;
};

/// LIMBECK_CORPUS, else build/corpus.
std::filesystem::path corpus_folder();
/// LIMBECK_CORPUS_MODELS: "fast" (unless told otherwise; random architectures included), "all" or "none".
std::string corpus_selection();
/// The selected models that the corpus holds.
std::vector<std::string> corpus_models();

/// The run settings of reference.py: threads, deterministic algorithms, no fill of uninitialised memory.
void use_reference_settings();

/// What one training step leaves behind, by reference key without "step/".
std::map<std::string, at::Tensor> training_step(Model& model, const CorpusModel& corpus);

/// The graph with every drop rate at zero, as the references' steps were made; nullopt where other draws remain in
/// train mode.
std::optional<graph::Graph> without_randomness(graph::Graph graph);

/// "" when bit-equal, else what differs, by how much.
std::string difference(const std::string& what, const at::Tensor& got, const at::Tensor& want);

/// Largest |got - want| / (max|want| + 1e-3 * largest_gradient).
double relative_difference(const at::Tensor& got, const at::Tensor& want, double largest_gradient);

}  // namespace limbeck::testing
