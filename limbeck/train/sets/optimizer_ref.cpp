#include "limbeck/train/sets/optimizer_ref.h"

#include <fmt/format.h>

#include <exception>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/optimizer.h"
#include "limbeck/train/sets/torch_optimizer.h"

namespace limbeck::train {

namespace {

/// limbeck::train::Optimizer, whose steps are fused as they are.
class OwnOptimizer : public OptimizerAdapter {
 public:
  explicit OwnOptimizer(Optimizer& optimizer) : optimizer_(optimizer) {}

  std::string name() const override { return "limbeck::train::Optimizer"; }
  const void* identity() const override { return &optimizer_; }

  std::vector<ParameterGroup> groups() const override {
    std::vector<ParameterGroup> result;
    for (const OptimizerGroup& own : optimizer_.groups()) {
      ParameterGroup& group = result.emplace_back(ParameterGroup{.parameters = {}, .lr = own.options.lr});
      for (const NamedTensor& parameter : own.parameters) {
        group.parameters.push_back(parameter.tensor);
        group.names.push_back(parameter.name);
      }
    }
    return result;
  }

  at::Tensor step(const LossClosure&) override {
    optimizer_.step();
    return {};
  }

  bool step_scaled(double gradient_scale) override {
    optimizer_.step(1, gradient_scale);
    return true;
  }

  StepSupport support() const override {
    return {.is_fused = true, .reason = fmt::format("fused {}", optimizer_name(optimizer_.kind()))};
  }

  std::vector<at::Tensor> state_of(const at::Tensor& parameter) const override {
    std::vector<at::Tensor> result;
    for (const NamedTensor& entry : optimizer_.state_of(parameter)) result.push_back(entry.tensor);
    return result;
  }

 private:
  Optimizer& optimizer_;
};

/// The exception itself stays nested in the new one (std::rethrow_if_nested).
template <class E>
[[noreturn]] void throw_with_note(const std::exception& error, const std::string& note) {
  std::throw_with_nested(E(fmt::format("{}\n{}", error.what(), note)));
}

template <class T>
T& checked(T* optimizer) {
  LIMBECK_CHECK(optimizer != nullptr, "[optimize] an optimizer is a null pointer");
  return *optimizer;
}

}  // namespace

void OptimizerAdapter::zero_grad() {
  for (const ParameterGroup& group : groups()) {
    for (const at::Tensor& parameter : group.parameters) parameter.mutable_grad().reset();
  }
}

void OptimizerAdapter::rethrow_with(const std::string& note) const {
  try {
    throw;
  } catch (const InvalidArgument& error) {
    throw_with_note<InvalidArgument>(error, note);
  } catch (const Unsupported& error) {
    throw_with_note<Unsupported>(error, note);
  } catch (const IoError& error) {
    throw_with_note<IoError>(error, note);
  } catch (const InternalError& error) {
    throw_with_note<InternalError>(error, note);
  } catch (const std::exception& error) {
    throw_with_note<Error>(error, note);
  }
}

OptimizerRef::OptimizerRef(torch::optim::Optimizer* optimizer) : adapter_(adapt_torch_optimizer(checked(optimizer))) {}

OptimizerRef::OptimizerRef(Optimizer* optimizer) : adapter_(std::make_shared<OwnOptimizer>(checked(optimizer))) {}

}  // namespace limbeck::train
