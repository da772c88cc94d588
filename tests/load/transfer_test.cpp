#include "limbeck/load/transfer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/graph/weights/pth_writer.h"
#include "limbeck/load/load.h"

namespace limbeck {
namespace {

/// Weights of a network of `classes` as a .pth, and a fresh network of 10 to load them into.
class Transfer : public ::testing::Test {
 protected:
  static Model network(int64_t classes, uint64_t seed) {
    return load("zoo:resnet_basic?widths=4,8&blocks=1,1&classes=" + std::to_string(classes), {.seed = seed});
  }

  std::string pth_of(const Model& model, const std::string& left_out = "-") const {
    std::vector<NamedTensor> tensors;
    for (const NamedTensor& entry : model.state_dict()) {
      if (!entry.name.starts_with(left_out)) tensors.push_back({entry.name, entry.tensor.detach()});
    }
    const std::string path = (folder_.path() / "weights.pth").string();
    weights::write_pth(path, tensors);
    return path;
  }

  static bool same(const Model& a, const Model& b, bool of_head) {
    for (const graph::Parameter& parameter : a.graph().parameters()) {
      if (parameter.name.starts_with("fc.") != of_head) continue;
      const at::Tensor& other = b.graph().parameter(parameter.name).tensor;
      if (!at::equal(parameter.tensor, other)) return false;
    }
    return true;
  }

  std::string refusal(Model& model, const std::string& path, const std::string& at = "fc") const {
    try {
      load_weights_and_replace_head(model, path, at, {.classes = 5});
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "accepted";
  }

  core::TemporaryDirectory folder_;
};

TEST_F(Transfer, WeightsOfTheOldHeadAreLoadedAndLeftBehind) {
  const Model trained = network(10, 1);
  Model model = network(10, 2);
  EXPECT_EQ(load_weights_and_replace_head(model, pth_of(trained), "fc", {.classes = 5}), HeadWeights::replaced);
  EXPECT_TRUE(same(model, trained, false));
  EXPECT_EQ(model.graph().parameter("fc.weight").tensor.size(0), 5);
}

TEST_F(Transfer, AnotherHeadInTheFileIsLeftOutAndAllElseIsStrict) {
  const Model trained = network(7, 1);
  Model model = network(10, 2);
  EXPECT_EQ(load_weights_and_replace_head(model, pth_of(trained), "fc", {.classes = 5}), HeadWeights::left_out);
  EXPECT_TRUE(same(model, trained, false));
  EXPECT_EQ(model.graph().parameter("fc.bias").tensor.size(0), 5);
}

TEST_F(Transfer, AFileOfTheNewHeadGivesItToo) {
  const Model trained = network(5, 1);
  Model model = network(10, 2);
  EXPECT_EQ(load_weights_and_replace_head(model, pth_of(trained), "fc", {.classes = 5}), HeadWeights::kept);
  EXPECT_TRUE(same(model, trained, false));
  EXPECT_TRUE(same(model, trained, true));
}

TEST_F(Transfer, AFileWithoutAHeadWillDo) {
  const Model trained = network(10, 1);
  Model model = network(10, 2);
  EXPECT_EQ(load_weights_and_replace_head(model, pth_of(trained, "fc."), "fc", {.classes = 5}), HeadWeights::left_out);
  EXPECT_TRUE(same(model, trained, false));
}

TEST_F(Transfer, WhatIsMissingElsewhereIsNamedAndNothingChanges) {
  for (const int64_t classes : {10, 7, 5}) {
    Model model = network(10, 2);
    const std::string message = refusal(model, pth_of(network(classes, 1), "layer1.0.bn1.weight"));
    EXPECT_NE(message.find("layer1.0.bn1.weight"), std::string::npos) << message;
    EXPECT_TRUE(same(model, network(10, 2), false)) << classes;
    EXPECT_TRUE(same(model, network(10, 2), true)) << classes;
  }
}

TEST_F(Transfer, NamesTheClassifiersThatThereAre) {
  Model model = network(10, 2);
  const std::string message = refusal(model, pth_of(network(10, 1)), "layer1");
  EXPECT_NE(message.find("'layer1' is no classifier"), std::string::npos) << message;
  EXPECT_NE(message.find("Candidates: fc."), std::string::npos) << message;
}

}  // namespace
}  // namespace limbeck
