// OptimizerRef: one handle for the optimizers of every origin. Limbeck's own, torch::optim's in C++ (SGD, Adam, AdamW
// and Adagrad run through fused rules on their own state, every other class through its own step), and foreign ones
// (Python's torch.optim, third parties) that implement OptimizerAdapter.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace torch::optim {
class Optimizer;
}

namespace limbeck::train {

class Optimizer;

/// Evaluates the model anew and returns the loss, gradients written: what LBFGS calls several times in a step.
using LossClosure = std::function<at::Tensor()>;

struct ParameterGroup {
  std::vector<at::Tensor> parameters;
  std::vector<std::string> names{};  // beside parameters, or empty: for messages
  std::optional<double> lr{};        // where the optimizer tells it
};

/// How an optimizer makes its update.
struct StepSupport {
  bool is_fused = false;  // one multi-tensor kernel over all parameters
  std::string reason;  // "fused SGD on the optimizer's own state", "own step(): torch::optim::LBFGS has no fused rule"
};

/// What optimize() needs of an optimizer. Nothing of it is copied: groups, rates and state stay the user's.
class OptimizerAdapter {
 public:
  virtual ~OptimizerAdapter() = default;

  /// The class, for messages and reports: "torch::optim::SGD".
  virtual std::string name() const = 0;
  /// The user's object, to tell one optimizer from another.
  virtual const void* identity() const = 0;
  /// Read anew in every step: groups may be added, rates changed.
  virtual std::vector<ParameterGroup> groups() const = 0;
  /// True where a step evaluates the model itself (LBFGS).
  virtual bool needs_closure() const { return false; }
  /// One update from the gradients. `closure` is empty unless needs_closure(). Returns the closure's first loss.
  virtual at::Tensor step(const LossClosure& closure) = 0;
  /// One update from the gradients times `gradient_scale`, which are left as they are: what a rule that can do so saves
  /// is a pass over them. False, and nothing done, where it can't: they are then multiplied in place before step().
  virtual bool step_scaled(double /*gradient_scale*/) { return false; }
  virtual StepSupport support() const = 0;
  /// Tensors that it keeps of `parameter`, for the report's bytes.
  virtual std::vector<at::Tensor> state_of(const at::Tensor& parameter) const = 0;

  /// Forgets the gradients of all its parameters.
  virtual void zero_grad();
  /// Called while an exception of step() is handled: throws it on, of its own class (an Error of ours where it has
  /// none), with `note` after its text.
  [[noreturn]] virtual void rethrow_with(const std::string& note) const;
};

/// A handle on an optimizer that must outlive it.
class OptimizerRef {
 public:
  OptimizerRef(torch::optim::Optimizer* optimizer);                                          // implicit: {&body, &head}
  OptimizerRef(Optimizer* optimizer);                                                        // implicit
  OptimizerRef(std::shared_ptr<OptimizerAdapter> adapter) : adapter_(std::move(adapter)) {}  // implicit

  OptimizerAdapter& operator*() const { return *adapter_; }
  OptimizerAdapter* operator->() const { return adapter_.get(); }

 private:
  std::shared_ptr<OptimizerAdapter> adapter_;
};

}  // namespace limbeck::train
