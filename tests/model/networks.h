// Small networks for the tests of limbeck/model, each beside the same thing written by hand in ATen.
#pragma once

#include <ATen/core/Tensor.h>

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "limbeck/graph/graph.h"
#include "limbeck/model/model.h"

namespace limbeck::testing {

/// x [B, 3, 8, 8] -> conv1 -> bn1 -> relu -> conv2 -> bn2 -> (+=) -> relu -> mean -> dropout(0.3) -> fc -> out [B, 5].
/// Additions and relus were in place in Python. Running statistics and num_batches_tracked as in torch.nn.BatchNorm2d.
/// Parameters are drawn from `seed`.
graph::Graph residual_network(uint64_t seed = 1);

/// The same by hand on the tensors of `model`, written as the Python module would run it: batch norms write their
/// statistics and counters.
at::Tensor residual_by_hand(const Model& model, const at::Tensor& x, bool train);

/// The tensor called `name` of `model`.
at::Tensor tensor_of(const Model& model, const std::string& name);

/// A graph with one input x of the given sizes whose one output "out" is what `body` makes of it.
graph::Graph single_input_graph(graph::Sizes sizes,
                                const std::function<graph::ValueId(graph::Graph&, graph::ValueId)>& body);

/// Seeded normal numbers.
at::Tensor normal(at::IntArrayRef sizes, uint64_t seed);

/// Bitwise equality with a readable failure.
::testing::AssertionResult is_equal(const at::Tensor& a, const at::Tensor& b);

/// Runs `action` and returns the message of the `E` that it throws; a failure of the test otherwise.
template <class E>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

/// The op limbeck_test::observe(Tensor x) -> Tensor (x + 1, any autograd), known to the dispatcher as every other. It
/// counts which of the tensors that it saw still live whenever it runs.
struct Observations {
  std::vector<std::size_t> live;             // tensors that it saw or made before and that live at each call
  std::vector<const void*> inputs, outputs;  // data pointers at each call
  bool fails = false;                        // the next call throws
};
Observations& observations();
/// Forgets everything seen so far.
void reset_observations();

}  // namespace limbeck::testing
