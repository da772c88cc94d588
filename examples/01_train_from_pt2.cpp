// Trains a model that torch.export wrote, in a loop of one's own, without Python:
//
//   01_train_from_pt2 eval.pt2 train.pt2 trained.lmb
//
// `limbeck capture --python` prints the Python that exports such a pair. The model must take images [B, C, H, W]; this
// example feeds it synthetic ones of its own shape and reports the loss before and after.
#include <cstdio>
#include <exception>

#include "limbeck/limbeck.h"

namespace lb = limbeck;

namespace {

/// A dataset of the images that the model takes: class-dependent patterns, made up.
lb::data::Loader synthetic_loader(const lb::Model& model, int64_t classes) {
  const auto& sizes = *model.graph().inputs.at(0).type.tensor()->sizes;
  const std::string shape =
      std::to_string(classes) + "x" + sizes[1].to_string() + "x" + sizes[2].to_string() + "x" + sizes[3].to_string();
  return {lb::open_dataset("synthetic:" + shape + "?n=512"),
          {.batch_size = 32, .shuffle = true, .drop_last = true, .seed = 1}};
}

double train(lb::Model& model, lb::data::Loader& loader) {
  lb::train::Optimizer optimizer(model.named_parameters(), {.lr = 0.05, .momentum = 0.9});
  double first = 0, last = 0;
  model.train();
  for (const lb::data::Batch& batch : loader.epochs(2)) {
    const at::Tensor loss = lb::cross_entropy(model(batch.x), batch.y);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step(1);
    last = loss.item<double>();
    if (first == 0) first = last;
  }
  std::printf("loss %.4f -> %.4f\n", first, last);
  return last - first;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s eval.pt2 train.pt2 trained.lmb\n", argv[0]);
    return 2;
  }
  try {
    lb::Model model = lb::load(argv[1], {.train = argv[2]});
    const int64_t classes =
        *model.graph().type(*model.graph().eval_outputs.at(0).value.value()).tensor()->sizes->at(1).constant();
    lb::data::Loader loader = synthetic_loader(model, classes);
    const double change = train(model, loader);
    model.save(argv[3]);
    return change < 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
