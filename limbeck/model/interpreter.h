// Runs a Program on ATen, op by op through the dispatcher.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <vector>

#include "limbeck/model/program.h"

namespace limbeck {

/// A program with the sizings that it has met. For one thread at a time.
class Interpreter {
 public:
  explicit Interpreter(std::shared_ptr<const Program> program);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  const Program& program() const { return *program_; }

  /// One run. `inputs` are in the graph's order, of the right types. Buffers are written when all steps are done, so a
  /// run that throws changes nothing. Throws InvalidArgument with op and scope for what a kernel refuses.
  Outputs run(std::span<const at::Tensor> inputs);

 private:
  const Sizing& sizing_for(std::span<const at::Tensor> inputs);

  std::shared_ptr<const Program> program_;
  std::vector<std::unique_ptr<Sizing>> sizings_;  // the latest one first
};

}  // namespace limbeck
