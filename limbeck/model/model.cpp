#include "limbeck/model/model.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <regex>
#include <unordered_set>

#include "limbeck/core/error.h"
#include "limbeck/graph/lmb.h"
#include "limbeck/graph/verify.h"
#include "limbeck/graph/weights/state_dict.h"
#include "limbeck/model/conversion.h"
#include "limbeck/model/head.h"
#include "limbeck/model/inputs.h"
#include "limbeck/model/interpreter.h"
#include "limbeck/model/modes.h"

namespace limbeck {

namespace {

/// Prepared runs kept: train and eval, with and without taps, of a distillation that evaluates now and then.
constexpr std::size_t kMaxInterpreters = 8;

void check_graph(const graph::Graph& graph) {
  const std::vector<std::string> faults = graph::find_faults(graph);
  LIMBECK_CHECK(faults.empty(), "[model] the graph is not sound:\n  {}", fmt::join(faults, "\n  "));
}

std::regex compile_pattern(std::string_view pattern) {
  try {
    return std::regex(pattern.begin(), pattern.end(), std::regex::ECMAScript);
  } catch (const std::regex_error& error) {
    fail<InvalidArgument>("[model] '{}' is no regular expression: {}", pattern, error.what());
  }
}

graph::Mode mode_of(bool train) { return train ? graph::Mode::train : graph::Mode::eval; }

}  // namespace

struct Model::State {
  graph::Graph graph;
  ModeRules rules;
  std::vector<graph::Mode> modes;  // rules resolved for the graph's scopes
  graph::Mode accepted = graph::Mode::none;
  uint64_t revision = 0;
  std::vector<std::unique_ptr<Interpreter>> interpreters;  // the latest one first

  explicit State(graph::Graph g) : graph(std::move(g)), modes(rules.resolve(graph)) {}

  /// After every change of the graph.
  void renew() {
    interpreters.clear();
    modes = rules.resolve(graph);
    ++revision;
  }

  Interpreter& interpreter_for(const RunOptions& options) {
    return options.mode ? interpreter_for(options, rules.with_root(*options.mode).resolve(graph))
                        : interpreter_for(options, modes);
  }

  Interpreter& interpreter_for(const RunOptions& options, const std::vector<graph::Mode>& run_modes) {
    const auto known = std::find_if(interpreters.begin(), interpreters.end(), [&](const auto& candidate) {
      const ProgramKey& key = candidate->program().key;
      return key.modes == run_modes && key.taps == options.taps && key.state_updates == options.state_updates &&
             key.fusion == options.fusion;
    });
    if (known != interpreters.end()) {
      std::rotate(interpreters.begin(), known, known + 1);
    } else {
      check_assumptions(graph, run_modes, accepted);
      ProgramKey key{
          .modes = run_modes, .taps = options.taps, .state_updates = options.state_updates, .fusion = options.fusion};
      interpreters.insert(interpreters.begin(), std::make_unique<Interpreter>(prepare_program(graph, std::move(key))));
      if (interpreters.size() > kMaxInterpreters) interpreters.pop_back();
    }
    return *interpreters.front();
  }
};

Model::Model(graph::Graph graph) {
  check_graph(graph);
  state_ = std::make_shared<State>(std::move(graph));
}

const graph::Graph& Model::graph() const { return state_->graph; }

void Model::set_graph(graph::Graph graph) {
  check_graph(graph);
  state_->graph = std::move(graph);
  state_->renew();
}

Model Model::clone() const {
  Model copy = *this;
  copy.state_ = std::make_shared<State>(state_->graph.clone());
  copy.state_->rules = state_->rules;
  copy.state_->modes = state_->modes;
  copy.state_->accepted = state_->accepted;
  return copy;
}

Model Model::with_own_modes() const {
  Model other = *this;
  other.state_ = std::make_shared<State>(state_->graph);
  other.state_->accepted = state_->accepted;
  return other;
}

uint64_t Model::revision() const { return state_->revision; }

std::vector<NamedTensor> Model::named_parameters(std::string_view pattern) const {
  const std::regex expression = compile_pattern(pattern);
  std::vector<NamedTensor> found;
  std::unordered_set<const void*> seen;
  for (const graph::Parameter& parameter : state_->graph.parameters()) {
    if (parameter.is_buffer || (!pattern.empty() && !std::regex_search(parameter.name, expression))) continue;
    if (seen.insert(parameter.tensor.unsafeGetTensorImpl()).second) found.push_back({parameter.name, parameter.tensor});
  }
  if (found.empty() && !pattern.empty()) {
    std::vector<std::string> names;
    for (const NamedTensor& parameter : named_parameters()) names.push_back(parameter.name);
    fail<InvalidArgument>("[model] no parameter matches '{}'.{}", pattern, nearest_hint(pattern, names));
  }
  return found;
}

std::vector<at::Tensor> Model::parameters(std::string_view pattern) const {
  std::vector<at::Tensor> tensors;
  for (NamedTensor& parameter : named_parameters(pattern)) tensors.push_back(std::move(parameter.tensor));
  return tensors;
}

std::vector<NamedTensor> Model::named_buffers() const {
  std::vector<NamedTensor> found;
  std::unordered_set<const void*> seen;
  for (const graph::Parameter& parameter : state_->graph.parameters()) {
    if (parameter.is_buffer && seen.insert(parameter.tensor.unsafeGetTensorImpl()).second)
      found.push_back({parameter.name, parameter.tensor});
  }
  return found;
}

std::vector<NamedTensor> Model::state_dict() const {
  std::vector<NamedTensor> found;
  for (const graph::Parameter& parameter : state_->graph.parameters()) {
    if (!parameter.is_buffer || parameter.is_persistent) found.push_back({parameter.name, parameter.tensor});
  }
  return found;
}

void Model::load_state_dict(const std::vector<NamedTensor>& tensors) {
  weights::StateDict given;
  for (const NamedTensor& entry : tensors) given.tensors.push_back({entry.name, entry.tensor});
  std::vector<weights::NamedTensor> targets;
  for (const NamedTensor& entry : state_dict()) targets.push_back({entry.name, entry.tensor});
  weights::copy_into(given, targets);
}

std::size_t Model::freeze(std::string_view pattern) {
  const std::vector<at::Tensor> frozen = parameters(pattern);
  for (const at::Tensor& parameter : frozen) parameter.set_requires_grad(false);
  return frozen.size();
}

void Model::zero_grad() {
  for (const at::Tensor& parameter : parameters()) parameter.mutable_grad().reset();
}

void Model::train(bool on) {
  state_->rules.set_all(mode_of(on));
  state_->modes = state_->rules.resolve(state_->graph);
}

bool Model::is_training() const { return state_->modes.front() == graph::Mode::train; }

void Model::train(std::string_view scope, bool on) {
  if (!state_->graph.find_scope(scope)) {
    std::vector<std::string> paths;
    for (const graph::Scope& known : state_->graph.scopes()) paths.push_back(known.path);
    fail<InvalidArgument>("[model] no scope '{}'.{}", scope, nearest_hint(scope, paths));
  }
  state_->rules.set(std::string(scope), mode_of(on));
  state_->modes = state_->rules.resolve(state_->graph);
}

void Model::accept_assumptions(graph::Mode mode) { state_->accepted = state_->accepted | mode; }

Outputs Model::forward(const Inputs& inputs, const RunOptions& options) {
  const std::vector<at::Tensor> arranged = arrange_inputs(state_->graph, inputs);
  return state_->interpreter_for(options).run(arranged);
}

passes::FusionReport Model::fusion_report(const RunOptions& options) const {
  return state_->interpreter_for(options).program().fusion;
}

void Model::to(at::Device device) {
  convert_device(state_->graph, device);
  state_->renew();
}

void Model::to(at::ScalarType dtype) {
  convert_dtype(state_->graph, dtype);
  state_->renew();
}

void Model::to(at::MemoryFormat format) {
  convert_memory_format(state_->graph, format);
  state_->renew();
}

void Model::replace_head(std::string_view scope, const HeadOptions& options) {
  limbeck::replace_head(state_->graph, scope, options);
  state_->renew();
}

void Model::save(const std::string& path) const { graph::save_lmb(state_->graph, path); }

}  // namespace limbeck
