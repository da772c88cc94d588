// Building graphs in C++: for the zoo, for tests and for passes that add nodes.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck::graph {

/// Arguments by name, after the positional ones.
using NamedArguments = std::vector<std::pair<std::string, Argument>>;

class Builder {
 public:
  explicit Builder(Graph& graph) : graph_(graph) {}

  /// A positional input: the graph's input tree is a tuple of all of them.
  ValueId input(std::string name, Sizes sizes, at::ScalarType dtype = at::kFloat);
  /// As torch.nn.Parameter, a floating-point tensor is made to require a gradient.
  ValueId parameter(std::string name, at::Tensor tensor);
  ValueId buffer(std::string name, at::Tensor tensor, bool is_persistent = true);

  /// Appends a call in the current scope: positional arguments by slot, then named ones, then the schema's defaults.
  /// Output types are inferred. Throws InvalidArgument for a missing or unknown argument or shapes that do not fit.
  ValueId call(std::string_view op, std::vector<Argument> positional, const NamedArguments& named = {});
  /// As call, for ops with several outputs or a list.
  std::vector<ValueId> call_all(std::string_view op, std::vector<Argument> positional,
                                const NamedArguments& named = {});

  /// The scope that new nodes belong to, until the guard goes.
  class ScopeGuard {
   public:
    ScopeGuard(Builder& builder, std::string path, uint32_t call);
    ~ScopeGuard();
    ScopeGuard(const ScopeGuard&) = delete;
    ScopeGuard& operator=(const ScopeGuard&) = delete;

   private:
    Builder& builder_;
    std::string previous_path_;
    std::vector<uint32_t> previous_calls_;
  };
  /// Enters a scope relative to the current one: `const auto scope = builder.enter("layer1.0");`. `call` is 1 for the
  /// second use of one module, and so on.
  [[nodiscard]] ScopeGuard enter(std::string_view name, std::string_view type = {}, uint32_t call = 0);
  const std::string& scope_path() const { return scope_; }

  /// Sets both modes' outputs to one list (a single unnamed value: a leaf; several: a tuple).
  void outputs(const std::vector<std::pair<std::string, ValueId>>& values);
  Graph& graph() { return graph_; }

 private:
  Graph& graph_;
  std::string scope_;
  std::vector<uint32_t> calls_;  // of each component of scope_
};

/// Completes positional and named arguments to one per slot with the schema's defaults.
std::vector<Argument> complete_arguments(const OpInfo& op, std::vector<Argument> positional,
                                         const NamedArguments& named);

}  // namespace limbeck::graph
