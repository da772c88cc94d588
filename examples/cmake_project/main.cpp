// Uses the installed package: makes a model of the zoo, trains it for a few steps on synthetic images and saves it.
#include <ATen/ATen.h>
#include <limbeck/limbeck.h>

#include <cstdio>
#include <exception>

namespace lb = limbeck;

int main(int argc, char** argv) {
  try {
    lb::Model model = lb::load("zoo:resnet_basic?widths=8,16,32&blocks=1,1,1&classes=10&in_channels=1&image_size=28");
    lb::data::Loader loader(lb::open_dataset("synthetic:10x1x28x28?n=256"), {.batch_size = 32, .shuffle = true});
    lb::train::Optimizer optimizer(model.named_parameters(), {.lr = 0.05, .momentum = 0.9});
    model.train();
    for (const lb::data::Batch& batch : loader.epochs(1)) {
      const at::Tensor loss = lb::cross_entropy(model(batch.x), batch.y);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step(1);
      std::printf("loss %.4f\n", loss.item<double>());
    }
    if (argc > 1) model.save(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
