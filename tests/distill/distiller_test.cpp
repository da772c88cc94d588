#include "limbeck/distill/distiller.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/data/open_dataset.h"
#include "limbeck/zoo/zoo.h"

namespace limbeck::distill {
namespace {

Model resnet(std::vector<int64_t> widths, int64_t classes = 4, uint64_t seed = 1) {
  return Model(zoo::make("resnet_basic", {.classes = classes,
                                          .in_channels = 1,
                                          .image_size = 8,
                                          .blocks = {1, 1},
                                          .widths = std::move(widths),
                                          .seed = seed}));
}

std::shared_ptr<const data::Dataset> images() { return data::open_dataset("synthetic:4x1x8x8?n=96"); }

data::Loader loader(std::vector<data::Transform> transforms = {}) {
  return {images(),
          {.batch_size = 16, .shuffle = true, .drop_last = true, .seed = 3, .transforms = std::move(transforms)}};
}

std::vector<at::Tensor> snapshot(const Model& model) {
  std::vector<at::Tensor> tensors;
  for (const graph::Parameter& parameter : model.graph().parameters())
    tensors.push_back(parameter.tensor.detach().clone());
  return tensors;
}

bool equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const at::Tensor& x, const at::Tensor& y) { return at::equal(x, y); });
}

const DistillOptions kWithFeature{.features = {{.student_tap = "layer2", .teacher_tap = "layer2", .weight = 0.5}}};

TEST(BindTerms, FindsShapesAndBuildsAdapters) {
  const Model student = resnet({4, 8}), teacher = resnet({8, 16});
  const auto terms = bind_terms(student, teacher, loader().next()->x, kWithFeature);
  ASSERT_EQ(terms.size(), 1U);
  EXPECT_EQ(terms[0].plan.student, (FeatureShape{8, 4, 4}));
  EXPECT_EQ(terms[0].plan.teacher, (FeatureShape{16, 4, 4}));
  EXPECT_EQ(adapters_of(terms).at(0).first, "adapter0");
}

TEST(BindTerms, ChangesNeitherModel) {
  const Model student = resnet({4, 8}), teacher = resnet({8, 16});
  const auto before_student = snapshot(student), before_teacher = snapshot(teacher);
  bind_terms(student, teacher, loader().next()->x, kWithFeature);
  EXPECT_TRUE(equal(before_student, snapshot(student)));
  EXPECT_TRUE(equal(before_teacher, snapshot(teacher)));
}

TEST(BindTerms, RefusesOtherClassesUnknownTapsAndUnadaptedShapes) {
  const Model student = resnet({4, 8});
  const at::Tensor x = loader().next()->x;
  EXPECT_THROW(bind_terms(student, resnet({8, 16}, 5), x, {}), InvalidArgument);
  EXPECT_THROW(bind_terms(student, student, x, {.features = {{.student_tap = "layer9", .teacher_tap = "layer2"}}}),
               InvalidArgument);
  EXPECT_THROW(
      bind_terms(student, resnet({8, 16}), x,
                 {.features = {{.student_tap = "layer2", .teacher_tap = "layer2", .adapter = AdapterKind::none}}}),
      InvalidArgument);
}

TEST(BindTerms, KeepsWhatWasAcceptedOfBothModels) {
  const auto assuming = [](std::vector<int64_t> widths) {
    graph::Graph graph = resnet(std::move(widths)).graph();
    graph.assumptions.push_back({graph::Mode::eval, 0, "eval was not seen"});
    return Model(std::move(graph));
  };
  Model student = assuming({4, 8}), teacher = assuming({8, 16});
  const data::Batch batch = *loader().next();
  EXPECT_THROW(bind_terms(student, teacher, batch.x, kWithFeature), Unsupported);
  student.accept_assumptions(graph::Mode::eval);
  teacher.accept_assumptions(graph::Mode::eval);
  EXPECT_NO_THROW(bind_terms(student, teacher, batch.x, kWithFeature));
  EXPECT_NO_THROW((*live_teacher(teacher, {"layer2"}, {}))(batch));
}

/// One epoch of distillation by hand: the same model, loss, adapter and optimizer, written out.
TEST(Distillation, EqualsALoopWrittenByHand) {
  const Model teacher = resnet({8, 16}, 4, 9);
  Model ours = resnet({4, 8}), theirs = ours.clone();
  const at::Tensor probe = loader().next()->x;
  const auto terms = bind_terms(ours, teacher, probe, kWithFeature);
  const Model our_adapter = *terms[0].adapter;
  Model their_adapter = our_adapter.clone();
  const train::OptimizerOptions sgd{.lr = 0.05, .momentum = 0.9};
  data::Loader our_loader = loader(), their_loader = loader();

  std::shared_ptr<Teacher> live = live_teacher(teacher, teacher_taps(terms), teacher_transform(terms));
  train::train(ours, adapters_of(terms), distillation_objective(ours, live, terms, kWithFeature.kd), our_loader,
               {.epochs = 1, .optimizer = sgd, .schedule = {.kind = train::ScheduleKind::constant}}, {});

  std::vector<NamedTensor> parameters = theirs.named_parameters();
  for (const NamedTensor& p : their_adapter.named_parameters()) parameters.push_back(p);
  train::Optimizer optimizer(parameters, sgd);
  Model eval_teacher = teacher.clone();
  eval_teacher.eval();
  theirs.train();
  their_adapter.train();
  while (const auto batch = their_loader.next()) {
    const Outputs t = eval_teacher.forward(batch->x, {.taps = {"layer2"}}),
                  s = theirs.forward(batch->x, {.taps = {"layer2"}});
    const at::Tensor feature = their_adapter.forward(s.tap("layer2")).tensors[0].tensor;
    const at::Tensor kl =
        at::kl_div(at::log_softmax(s.logits() / 4, 1), at::softmax(t.logits().detach() / 4, 1), at::Reduction::Sum) /
        batch->size();
    const at::Tensor loss = 0.7 * 16 * kl + 0.3 * at::cross_entropy_loss(s.logits(), batch->y) +
                            0.5 * at::mse_loss(feature, t.tap("layer2").detach());
    optimizer.zero_grad();
    loss.backward();
    optimizer.step(1);
  }
  const auto expected = snapshot(theirs), actual = snapshot(ours);
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(at::allclose(actual[i], expected[i], 1e-4, 1e-5)) << i;
  EXPECT_TRUE(
      at::allclose(our_adapter.named_parameters()[0].tensor, their_adapter.named_parameters()[0].tensor, 1e-4, 1e-5));
}

TEST(Distillation, KeepsTheTeacherToTheBitAndInItsMode) {
  Model teacher = resnet({8, 16});
  teacher.train();
  const Model student = resnet({4, 8});
  const auto before = snapshot(teacher);
  data::Loader batches = loader();
  const auto terms = bind_terms(student, teacher, loader().next()->x, kWithFeature);
  std::shared_ptr<Teacher> live = live_teacher(teacher, teacher_taps(terms), teacher_transform(terms));
  train::train(student, adapters_of(terms), distillation_objective(student, live, terms, {}), batches,
               {.optimizer = {.lr = 0.1}}, {});
  EXPECT_TRUE(equal(before, snapshot(teacher)));
  EXPECT_TRUE(teacher.is_training());
  for (const NamedTensor& parameter : teacher.named_parameters()) EXPECT_FALSE(parameter.tensor.grad().defined());
}

class CachedTeacherTest : public testing::Test {
 protected:
  CacheOptions options(const char* key) const {
    return {.path = folder_.path() / "outputs.safetensors", .key = key, .batch_size = 10};
  }
  core::TemporaryDirectory folder_;
};

TEST_F(CachedTeacherTest, GivesEachSampleWhatTheLiveOneGives) {
  const Model teacher = resnet({8, 16});
  const FeatureTransform pool = [](std::size_t, const at::Tensor& f) { return pool_to(f, FeatureShape{2, 2}); };
  const auto cached = cached_teacher(teacher, {"layer2"}, pool, images(), {}, options("k"));
  const auto live = live_teacher(teacher, {"layer2"}, pool);
  data::Loader batches = loader();
  while (const auto batch = batches.next()) {
    const TeacherOutputs a = (*cached)(*batch), b = (*live)(*batch);
    EXPECT_TRUE(at::allclose(a.logits, b.logits, 1e-5, 1e-6));
    EXPECT_TRUE(at::allclose(a.features.at(0), b.features.at(0), 1e-5, 1e-6));
  }
}

TEST_F(CachedTeacherTest, IsReadAgainUnderItsKeyAndMadeAnewUnderAnother) {
  data::Batch batch = *loader().next();
  const at::Tensor first = (*cached_teacher(resnet({8, 16}, 4, 1), {}, {}, images(), {}, options("a")))(batch).logits;
  const at::Tensor again = (*cached_teacher(resnet({8, 16}, 4, 2), {}, {}, images(), {}, options("a")))(batch).logits;
  const at::Tensor other = (*cached_teacher(resnet({8, 16}, 4, 2), {}, {}, images(), {}, options("b")))(batch).logits;
  EXPECT_TRUE(at::equal(first, again));
  EXPECT_FALSE(at::equal(first, other));
}

TEST_F(CachedTeacherTest, RefusesAugmentedData) {
  EXPECT_THROW(cached_teacher(resnet({8, 16}), {}, {}, images(), {data::HorizontalFlip{}}, options("a")),
               InvalidArgument);
}

TEST_F(CachedTeacherTest, StopsOnRequestWithoutLeavingAFile) {
  core::StopFlag stop;
  stop.request();
  CacheOptions stopped = options("a");
  stopped.stop = &stop;
  EXPECT_EQ(cached_teacher(resnet({8, 16}), {}, {}, images(), {}, stopped), nullptr);
  EXPECT_FALSE(std::filesystem::exists(stopped.path));
}

}  // namespace
}  // namespace limbeck::distill
