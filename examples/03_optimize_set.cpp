// Distils a student from a teacher with optimize() on the set of both: the teacher's batch norms follow the new images
// while its weights stay, the student's body and head have an optimizer each, and the adapter trains with the head.
//
//   03_optimize_set                  on synthetic images, in seconds
//   03_optimize_set fashion-mnist    on Fashion-MNIST, or any dataset that open_dataset knows
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <cstdio>
#include <exception>
#include <memory>

#include "limbeck/limbeck.h"

namespace lb = limbeck;

namespace {

using DatasetPtr = std::shared_ptr<const lb::data::Dataset>;

lb::Model small_resnet(const std::string& widths, const lb::data::Dataset& images, int64_t classes) {
  const lb::data::ImageShape shape = images.shape();
  return lb::load("zoo:resnet_basic?widths=" + widths + "&in_channels=" + std::to_string(shape.channels) +
                      "&image_size=" + std::to_string(shape.height) + "&classes=" + std::to_string(classes),
                  {.seed = 1});
}

lb::data::Loader loader_of(const DatasetPtr& images) {
  return {images,
          {.batch_size = 64,
           .shuffle = true,
           .drop_last = true,
           .seed = 1,
           .transforms = {lb::data::channel_statistics(*images)}}};
}

double top1(const lb::Model& model, const DatasetPtr& images) {
  lb::data::Loader loader(images, {.batch_size = 64, .transforms = {lb::data::channel_statistics(*images)}});
  return lb::evaluate(model, loader)->top1;
}

/// One model, one optimizer: the smallest set.
void train_teacher(const lb::Model& teacher, const DatasetPtr& images) {
  torch::optim::SGD optimizer(teacher.parameters(), torch::optim::SGDOptions(0.1).momentum(0.9).nesterov(true));
  auto set = lb::optimize({{"teacher", teacher, lb::Role::train}}, {&optimizer});
  lb::data::Loader loader = loader_of(images);
  for (const lb::data::Batch& batch : loader.epochs(1)) {
    set.backward(lb::cross_entropy(set.forward("teacher", batch.x).logits(), batch.y));
    set.step();
  }
}

/// Three models, two optimizers.
void distil(const lb::Model& student, const lb::Model& teacher, const DatasetPtr& images) {
  lb::data::Loader loader = loader_of(images);
  const lb::TapPairs taps = lb::pair(student, teacher, {{"layer3", "layer3"}});  // adapters exist before the optimizers
  torch::optim::SGD body(student.parameters("^(?!fc)"), torch::optim::SGDOptions(0.05).momentum(0.9));
  torch::optim::AdamW head(lb::concat(student.parameters("^fc"), taps.parameters()), torch::optim::AdamWOptions(1e-3));
  auto set = lb::optimize({{"teacher", teacher, lb::frozen_train(lb::Buffers::update)},
                           {"student", student, lb::Role::train},
                           {"taps", taps, lb::Role::train}},
                          {&body, &head}, lb::Precision::bf16, {.clip_norm = 5});
  std::printf("%s\n", set.report().text().c_str());

  for (const lb::data::Batch& batch : loader.epochs(3)) {
    const lb::Outputs t = set.forward("teacher", batch.x, {.taps = taps.of_teacher()});
    const lb::Outputs s = set.forward("student", batch.x, {.taps = taps.of_student()});
    set.backward(lb::kd(s.logits(), t.logits(), batch.y, {.temperature = 4, .alpha = 0.7}) + taps.mse(s, t));
    set.step();
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const DatasetPtr images = lb::open_dataset(argc > 1 ? argv[1] : "synthetic:10x1x16x16?n=2048");
    const lb::Model teacher = small_resnet("16,32,64", *images, images->num_classes());
    lb::Model student = small_resnet("4,8,16", *images, 1000);
    student.replace_head("fc", {.classes = images->num_classes()});

    train_teacher(teacher, images);
    const double before = top1(student, images);
    distil(student, teacher, images);
    const double after = top1(student, images);
    std::printf("top-1 on the training images: teacher %.4f, student %.4f before, %.4f after\n", top1(teacher, images),
                before, after);
    return after > before ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
