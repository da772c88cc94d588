// Distils a student from a teacher, with a feature term through an automatic adapter, in Limbeck's own loop:
//
//   02_distill            on synthetic images, in seconds
//   02_distill FOLDER     on Fashion-MNIST or any folder with four IDX files
#include <cstdio>
#include <exception>
#include <memory>

#include "limbeck/limbeck.h"

namespace lb = limbeck;

namespace {

lb::Model small_resnet(const std::string& widths, const lb::data::Dataset& images) {
  const lb::data::ImageShape shape = images.shape();
  const std::string options = "?widths=" + widths + "&in_channels=" + std::to_string(shape.channels) +
                              "&image_size=" + std::to_string(shape.height) +
                              "&classes=" + std::to_string(images.num_classes());
  return lb::load("zoo:resnet_basic" + options, {.seed = 1});
}

double top1(const lb::Model& model, const std::shared_ptr<const lb::data::Dataset>& images) {
  lb::data::Loader loader(images, {.batch_size = 64, .transforms = {lb::data::channel_statistics(*images)}});
  return lb::evaluate(model, loader)->top1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string source = argc > 1 ? std::string("idx:") + argv[1] : "synthetic:10x1x16x16?n=2048";
    const auto images = lb::open_dataset(source);
    lb::data::Loader loader(images, {.batch_size = 64,
                                     .shuffle = true,
                                     .drop_last = true,
                                     .seed = 1,
                                     .transforms = {lb::data::channel_statistics(*images)}});
    const lb::train::TrainOptions options{.epochs = 1, .optimizer = {.lr = 0.1, .nesterov = true}};

    const lb::Model teacher = small_resnet("16,32,64", *images), student = small_resnet("4,8,16", *images);
    lb::train::train(teacher, {}, lb::train::classification_objective(teacher, 0), loader, options, {});

    const lb::distill::DistillOptions distill{
        .kd = {.temperature = 4, .alpha = 0.7},
        .features = {{.student_tap = "layer3", .teacher_tap = "layer3", .weight = 1}}};
    loader.seek({});
    const auto terms = lb::distill::bind_terms(student, teacher, loader.next()->x, distill);
    std::printf("adapter: %s\n", terms.front().plan.to_string().c_str());

    const std::shared_ptr<lb::distill::Teacher> live =
        lb::distill::live_teacher(teacher, lb::distill::teacher_taps(terms), lb::distill::teacher_transform(terms));
    const auto objective = lb::distill::distillation_objective(student, live, terms, distill.kd);
    loader.seek({});
    lb::train::train(student, lb::distill::adapters_of(terms), objective, loader, options, {});

    std::printf("teacher top-1 %.4f, student top-1 %.4f on the training images\n", top1(teacher, images),
                top1(student, images));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
