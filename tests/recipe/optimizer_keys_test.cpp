// What keys of `optimizer` make of a training: one step of the same model on the same batch, by recipes that differ in
// those keys alone.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "limbeck/core/files/file.h"
#include "limbeck/graph/lmb.h"
#include "limbeck/model/model.h"
#include "limbeck/recipe/read.h"
#include "limbeck/recipe/run.h"

namespace limbeck::recipe {
namespace {

using Parameters = std::map<std::string, at::Tensor>;

class OptimizerKeys : public ::testing::Test {
 protected:
  /// The model's parameters after one step of an optimizer with these settings.
  Parameters after_step(const std::string& optimizer) {
    const std::string output = (folder_.path() / std::to_string(num_runs_++)).string();
    run(parse_recipe(
            fmt::format("name: x\noutput: {}\ndata: {{dataset: \"synthetic:10x3x8x8?n=64\", batch_size: 64}}\n"
                        "models: {{m: {{zoo: resnet_basic, options: {{widths: [4, 4], blocks: [1, 1], image_size: 8, "
                        "in_channels: 3, classes: 10}}}}}}\n"
                        "stages: [{{train: {{model: m, epochs: 1, optimizer: {{weight_decay: 0, {}}}}}}}]\n",
                        output, optimizer),
            "r.yaml"),
        {});
    Parameters parameters;
    for (const NamedTensor& parameter : Model(graph::load_lmb(output + "/m/model.lmb")).named_parameters())
      parameters.emplace(parameter.name, parameter.tensor.detach());
    return parameters;
  }

 private:
  const core::TemporaryDirectory folder_;
  int num_runs_ = 0;
};

TEST_F(OptimizerKeys, MaximizeStepsTheOppositeWay) {
  const Parameters start = after_step("kind: sgd, momentum: 0, lr: 0"),
                   down = after_step("kind: sgd, momentum: 0, lr: 0.1"),
                   up = after_step("kind: sgd, momentum: 0, lr: 0.1, maximize: true");
  double moved = 0;
  for (const auto& [name, tensor] : start) {
    EXPECT_TRUE(at::allclose(up.at(name) - tensor, tensor - down.at(name), 1e-4, 1e-6)) << name;
    moved += (up.at(name) - tensor).abs().sum().item<double>();
  }
  EXPECT_GT(moved, 0.1);
}

TEST_F(OptimizerKeys, AdaptationOfMatricesLeavesTheOthersThePlainRate) {
  const std::string lars = "kind: lars, momentum: 0, lr: 0.1, layerwise: {trust_coefficient: 0.02, adaptation: ";
  const Parameters plain = after_step("kind: sgd, momentum: 0, lr: 0.1"), all = after_step(lars + "all}"),
                   matrices = after_step(lars + "matrices}");
  int num_others = 0;
  for (const auto& [name, tensor] : plain) {
    const bool is_matrix = tensor.dim() >= 2;
    EXPECT_EQ(at::allclose(matrices.at(name), tensor, 1e-6, 1e-7), !is_matrix) << name;
    if (is_matrix) {
      EXPECT_TRUE(at::equal(matrices.at(name), all.at(name))) << name;
    } else if (!at::allclose(all.at(name), tensor, 1e-6, 1e-7)) {
      ++num_others;
    }
  }
  EXPECT_GT(num_others, 0) << "adaptation: all leaves biases and norms the plain rate";
}

TEST_F(OptimizerKeys, AdaptationOfAGroupCountsBeforeTheOptimizers) {
  const std::string lamb = "kind: lamb, lr: 0.1, ";
  const Parameters matrices = after_step(lamb + "layerwise: {adaptation: matrices}"),
                   group = after_step(lamb + "groups: [{pattern: '.', adaptation: matrices}]"),
                   all = after_step(lamb + "groups: [{pattern: '.'}]");
  bool is_same_as_all = true;
  for (const auto& [name, tensor] : matrices) {
    EXPECT_TRUE(at::equal(group.at(name), tensor)) << name;
    is_same_as_all = is_same_as_all && at::equal(all.at(name), tensor);
  }
  EXPECT_FALSE(is_same_as_all);
}

}  // namespace
}  // namespace limbeck::recipe
