#include "limbeck/recipe/options.h"

#include <fmt/format.h>

#include <algorithm>

#include "limbeck/core/error.h"
#include "limbeck/core/overloaded.h"
#include "limbeck/data/transforms/options.h"
#include "limbeck/model/device.h"
#include "limbeck/model/modes.h"

namespace limbeck::recipe {

namespace {

/// A Choice over an enum with functions to and from its names.
template <class E, class Parse, class Name>
Choice choice(E& value, const std::vector<std::string>& names, Parse parse, Name name) {
  return {.names = names,
          .get = [&value, name] { return std::string(name(value)); },
          .set = [&value, parse](const std::string& text) { value = parse(text); }};
}

/// A Choice over an enum whose values are 0, 1, ... in the order of `names`.
template <class E>
Choice choice(E& value, const std::vector<std::string>& names) {
  return {.names = names,
          .get = [&value, names] { return names[static_cast<std::size_t>(value)]; },
          .set =
              [&value, names](const std::string& text) {
                for (std::size_t i = 0; i < names.size(); ++i) {
                  if (names[i] == text) value = static_cast<E>(i);
                }
              }};
}

Choice memory_format(MemoryLayout& format) { return choice(format, {"contiguous", "channels_last"}); }

/// Of a group, which may leave it to the optimizer.
Choice adaptation_of(train::GroupOptions& group) {
  static constexpr const char* kNames[] = {"all", "matrices"};
  return {
      .names = {"inherit", kNames[0], kNames[1]},
      .get = [&group] { return group.adaptation ? kNames[static_cast<std::size_t>(*group.adaptation)] : "inherit"; },
      .set =
          [&group](const std::string& name) {
            group.adaptation.reset();
            if (name == kNames[0]) group.adaptation = train::Adaptation::all;
            if (name == kNames[1]) group.adaptation = train::Adaptation::matrices;
          }};
}

void describe_group(Fields& fields, train::GroupOptions& group) {
  fields.field("pattern", &group.pattern, "regular expression; parameters whose names match it form the group");
  fields.field("lr", &group.lr, "learning rate of the group instead of the optimizer's");
  fields.field("weight_decay", &group.weight_decay, "weight decay of the group instead of the optimizer's");
  fields.field("momentum", &group.momentum, "momentum of the group instead of the optimizer's");
  fields.field("beta1", &group.beta1, "likewise");
  fields.field("beta2", &group.beta2, "likewise");
  fields.field("eps", &group.eps, "likewise");
  fields.field("adaptation", adaptation_of(group),
               "lamb, lars: layerwise.adaptation of the group; inherit: the optimizer's");
  fields.required("pattern");
}

/// Which settings each kind of optimizer takes.
void restrict_to_kinds(Fields& fields, train::OptimizerKind kind) {
  using enum train::OptimizerKind;
  const bool has_moments = kind == adam || kind == adamw || kind == lamb;
  fields.only_for("momentum", "kind: sgd, lars", kind == sgd || kind == lars);
  fields.only_for("dampening", "kind: sgd", kind == sgd);
  fields.only_for("nesterov", "kind: sgd", kind == sgd);
  fields.only_for("beta1", "kind: adam, adamw, lamb", has_moments);
  fields.only_for("beta2", "kind: adam, adamw, lamb", has_moments);
  fields.only_for("eps", "kind: adam, adamw, adagrad, lamb", has_moments || kind == adagrad);
  fields.only_for("amsgrad", "kind: adam, adamw", kind == adam || kind == adamw);
  fields.only_for("adagrad", "kind: adagrad", kind == adagrad);
  fields.only_for("layerwise", "kind: lamb, lars", kind == lamb || kind == lars);
}

/// Which settings each kind of schedule takes.
void restrict_to_kinds(Fields& fields, train::ScheduleKind kind) {
  using enum train::ScheduleKind;
  fields.only_for("warmup_epochs", "all kinds but one_cycle, which has its own", kind != one_cycle);
  fields.only_for("final_fraction", "kind: cosine", kind == cosine);
  for (const char* key : {"rising_fraction", "start_divisor", "final_divisor"})
    fields.only_for(key, "kind: one_cycle", kind == one_cycle);
  for (const char* key : {"milestones", "gamma"}) fields.only_for(key, "kind: multistep", kind == multistep);
  fields.only_for("plateau", "kind: plateau", kind == plateau);
}

void describe_optimizer(Fields& fields, train::OptimizerOptions& options) {
  fields.field(
      "kind",
      choice(options.kind, {"sgd", "adamw", "adam", "adagrad", "lamb", "lars"}, train::parse_optimizer,
             train::optimizer_name),
      "sgd, adam and adagrad as torch.optim's; adamw: Loshchilov and Hutter 2019; lamb: You et al. 2020; lars: "
      "You et al. 2017");
  fields.field("lr", &options.lr, "peak learning rate");
  fields.field("weight_decay", &options.weight_decay,
               "L2 penalty for sgd, adam, adagrad; decoupled for adamw; in the step for lamb, lars");
  fields.field("momentum", &options.momentum, "sgd, lars: momentum");
  fields.field("dampening", &options.dampening, "sgd: of the momentum");
  fields.field("nesterov", &options.nesterov, "sgd: Nesterov momentum");
  fields.field("beta1", &options.beta1, "adam, adamw, lamb: decay of the first moment");
  fields.field("beta2", &options.beta2, "adam, adamw, lamb: decay of the second moment");
  fields.field("eps", &options.eps, "adam, adamw, adagrad, lamb: added to the denominator");
  fields.field("amsgrad", &options.amsgrad, "adam, adamw: the largest second moment so far");
  fields.field("maximize", &options.maximize, "go up the gradient instead of down");
  fields.section("adagrad", "of adagrad", [&](Fields& f) {
    f.field("lr_decay", &options.adagrad.lr_decay, "the rate of step t is lr / (1 + t * lr_decay)");
    f.field("initial_accumulator", &options.adagrad.initial_accumulator, "where the sums of squares begin");
  });
  fields.section("layerwise", "of lamb and lars", [&](Fields& f) {
    f.field("trust_coefficient", &options.layerwise.trust_coefficient, "lars: of the ratio of norms");
    f.field("adaptation", choice(options.layerwise.adaptation, {"all", "matrices"}),
            "which parameters take a rate of their own; matrices: not biases and the scales of norms");
  });
  restrict_to_kinds(fields, options.kind);
  fields.list("groups", "parameters with settings of their own; the first group that matches counts",
              list_of(options.groups, describe_group));
}

void describe_plateau(Fields& fields, train::PlateauOptions& options) {
  fields.field("factor", &options.factor, "the rate is multiplied by this");
  fields.field("patience", &options.patience, "after more than so many epochs without improvement");
  fields.field("threshold", &options.threshold, "an improvement is better than the best by this share of it");
  fields.field("cooldown", &options.cooldown, "epochs after a fall that do not count");
  fields.field("min_fraction", &options.min_fraction, "the rate stays above this fraction of the peak");
}

void describe_schedule(Fields& fields, train::ScheduleOptions& options) {
  fields.field("kind",
               choice(options.kind, {"constant", "cosine", "one_cycle", "multistep", "plateau"}, train::parse_schedule,
                      train::schedule_name),
               "how the learning rate changes over the steps");
  fields.field("warmup_epochs", &options.warmup_epochs, "epochs of linear warm-up; one_cycle has its own");
  fields.field("final_fraction", &options.final_fraction, "cosine: last rate as a fraction of the peak");
  fields.field("rising_fraction", &options.rising_fraction, "one_cycle: share of the steps in which the rate rises");
  fields.field("start_divisor", &options.start_divisor, "one_cycle: first rate is the peak divided by this");
  fields.field("final_divisor", &options.final_divisor, "one_cycle: last rate is the first divided by this");
  fields.field("milestones", &options.milestones, "multistep: epochs at which the rate falls, such as [30, 60]");
  fields.field("gamma", &options.gamma, "multistep: factor on the rate at each milestone");
  fields.section("plateau", "a rate that falls when the monitored metric gets no better",
                 [&](Fields& f) { describe_plateau(f, options.plateau); });
  restrict_to_kinds(fields, options.kind);
}

void describe_average(Fields& fields, train::AverageOptions& options) {
  fields.field("decay", &options.decay, "of the average in each update, such as 0.999; 0: no averaging");
  fields.field("every", &options.every, "optimizer steps between two updates");
  fields.field("use", choice(options.use, {"instead", "beside"}),
               "instead: the averaged weights are evaluated and are the result; beside: they are kept as ema.lmb");
}

void describe_early_stop(Fields& fields, train::EarlyStopOptions& options) {
  fields.field("patience", &options.patience,
               "epochs without improvement of the monitored metric after which training ends; 0: it never does");
  fields.field("min_delta", &options.min_delta, "an improvement is better than the best by more than this");
}

void describe_loss_scale(Fields& fields, train::LossScalerOptions& options) {
  fields.field("initial_scale", &options.initial_scale, "fp16: what the loss is multiplied by at first");
  fields.field("growth_factor", &options.growth_factor, "fp16: factor after growth_interval steps without overflow");
  fields.field("backoff_factor", &options.backoff_factor, "fp16: factor after a step that overflowed");
  fields.field("growth_interval", &options.growth_interval, "fp16: steps");
  fields.field("max_skips", &options.max_skips, "fp16: steps skipped in a row before training is given up");
}

void describe_log(Fields& fields, train::MetricsOptions& options) {
  fields.field("every_steps", &options.every_steps,
               "steps between two lines of metrics.jsonl, which has one per epoch too; 0: epochs alone");
  fields.field("tensorboard", &options.tensorboard, "write TensorBoard's event files beside it");
}

/// What train and distill have in common.
template <class S>
void describe_common(Fields& fields, S& stage) {
  describe(fields, stage.train);
  fields.field("freeze", &stage.freeze,
               "regular expressions: parameters that stay as they are, and BatchNorms their statistics");
  fields.section("log", "files that tell how training goes", [&](Fields& f) { describe_log(f, stage.log); });
  fields.field("memory_format", memory_format(stage.memory_format), "of inputs and convolution weights");
}

void describe_feature(Fields& fields, distill::FeatureTerm& term) {
  fields.field("student", &term.student_tap, "scope[@call][#i] in the student");
  fields.field("teacher", &term.teacher_tap, "scope[@call][#i] in the teacher");
  fields.field("weight", &term.weight, "factor on the mean squared error");
  fields.field("adapter", choice(term.adapter, {"auto", "none"}),
               "auto: 1x1 convolution + BatchNorm or linear, and pooling, where the shapes differ");
  fields.required("student");
  fields.required("teacher");
}

void describe_option(Fields& fields, const data::TransformOption& option) {
  std::visit(core::Overloaded{
                 [&](std::vector<int64_t>* list) { fields.field(option.key, OneOrMore<int64_t>{list}, option.help); },
                 [&](std::vector<double>* list) { fields.field(option.key, OneOrMore<double>{list}, option.help); },
                 [&](std::vector<float>* list) {
                   std::vector<double> values(list->begin(), list->end());
                   fields.field(option.key, OneOrMore<double>{&values}, option.help);
                   list->assign(values.begin(), values.end());
                 },
                 [&](const data::NamedValue& value) {
                   const auto set = [&value](const std::string& name) {
                     const auto found = std::find(value.names.begin(), value.names.end(), name);
                     value.set(static_cast<std::size_t>(found - value.names.begin()));
                   };
                   const auto get = [&value] { return value.names.at(value.get()); };
                   fields.field(option.key, Choice{.names = value.names, .get = get, .set = set}, option.help);
                 },
                 [&](auto* number) { fields.field(option.key, number, option.help); },
             },
             option.value);
}

Fields::Variants variants_of(std::vector<data::Transform>& transforms) {
  return {.names = data::transform_names(),
          .size = [&transforms] { return transforms.size(); },
          .name = [&transforms](std::size_t i) { return data::name_of(transforms[i]); },
          .clear = [&transforms] { transforms.clear(); },
          .add = [&transforms](const std::string& name) { transforms.push_back(data::make_transform(name)); },
          .element =
              [&transforms](Fields& fields, std::size_t i) {
                for (const auto& option : data::options_of(transforms[i])) describe_option(fields, option);
              },
          .help = [&transforms](std::size_t i) { return std::string(data::help_of(transforms[i])); }};
}

/// Threads, calls, workers and trials beyond this are mistakes.
constexpr int64_t kMaxThreads = 4096, kMaxRuns = 10'000'000, kMaxTrials = 1000;

void check_range(const char* where, const char* key, int64_t value, int64_t low, int64_t high = INT64_MAX) {
  LIMBECK_CHECK(value >= low && value <= high, "[{}] '{}' must be {}, got {}", where, key,
                high == INT64_MAX ? fmt::format("at least {}", low) : fmt::format("{} to {}", low, high), value);
}

}  // namespace

void DataOptions::validate() const {
  check_range("data", "val_size", val_size, 0);
  check_range("data", "train_limit", train_limit, 0);
  check_range("data", "test_limit", test_limit, 0);
  check_range("data", "batch_size", batch_size, 1);
  check_range("data", "workers", workers, 0, kMaxThreads);
  check_range("data", "crop_padding", crop_padding, 0);
  LIMBECK_CHECK(flip_probability >= 0 && flip_probability <= 1, "[data] 'flip_probability' must be 0 to 1, got {}",
                flip_probability);
  LIMBECK_CHECK(mean.empty() == stddev.empty(), "[data] give both 'mean' and 'stddev', or neither");
  LIMBECK_CHECK(train_transforms.empty() || (crop_padding == 0 && flip_probability == 0),
                "[data] 'train_transforms' replace 'crop_padding' and 'flip_probability': put random_crop and "
                "random_horizontal_flip into the list");
  for (const double alpha : {mixup_alpha, cutmix_alpha}) {
    if (alpha != 0) data::check(data::MixUp{alpha});
  }
}

void ModelOptions::validate() const {
  LIMBECK_CHECK(replace_head.at.empty() == (replace_head.classes == 0),
                "[model] replace_head needs both: at, the classifier's scope, and classes");
  check_range("model", "replace_head.classes", replace_head.classes, 0);
}

void EvaluateStage::validate() const {
  check_range("evaluate", "batch_size", batch_size, 1);
  check_range("evaluate", "latency_batch", latency_batch, 1);
  check_range("evaluate", "latency_runs", latency_runs, 0, kMaxRuns);
}

void Recipe::validate() const {
  LIMBECK_CHECK(!name.empty(), "[recipe] 'name' must not be empty");
  check_range("recipe", "threads", threads, 0, kMaxThreads);
  check_range("recipe", "seeds", seeds, 1, kMaxTrials);
  parse_device_name(device);
}

void describe(Fields& fields, DataOptions& options) {
  fields.field("dataset", &options.dataset, "fashion-mnist, idx:FOLDER, or synthetic:CLASSESxCxHxW?n=COUNT");
  fields.field("path", &options.path, "folder of the data, where it is not found by itself");
  fields.field("val_size", &options.val_size, "training samples held out for validation");
  fields.field("train_limit", &options.train_limit,
               "use only so many training samples, of each class its share and the same in every run; 0: all");
  fields.field("test_limit", &options.test_limit, "use only so many test samples, likewise; 0: all");
  fields.field("batch_size", &options.batch_size, "samples per step");
  fields.field("drop_last", &options.drop_last,
               "leave out what is left of the training samples, another part in each epoch, where it fills no batch");
  fields.field("workers", &options.workers, "threads that read ahead; 0: none");
  fields.field("mean", &options.mean, "per channel, of pixels in 0..1; empty: measured on the training set");
  fields.field("stddev", &options.stddev, "per channel; empty: measured on the training set");
  fields.field("crop_padding", &options.crop_padding,
               "pixels of zero around the image before a random crop; 0: no crop");
  fields.field("flip_probability", &options.flip_probability, "of a horizontal flip");
  fields.variants("train_transforms", "what is done to training images, in order; names and options are torchvision's",
                  variants_of(options.train_transforms));
  fields.variants("test_transforms", "what is done to test images; it travels with the model",
                  variants_of(options.test_transforms));
  fields.section("mixup", "mixes each sample with its neighbour in the batch (Zhang et al. 2017)", [&](Fields& f) {
    f.field("alpha", &options.mixup_alpha, "of the Beta distribution of the shares; 0: off");
  });
  fields.section("cutmix", "pastes a box of each sample's neighbour into it (Yun et al. 2019)", [&](Fields& f) {
    f.field("alpha", &options.cutmix_alpha, "of the Beta distribution of the shares; 0: off");
  });
  fields.field("train_decoding", choice(options.train_decoding, {"exact", "scaled"}),
               "scaled: large JPEGs that are scaled down anyway may be decoded at 1/2 to 1/8 for training");
  fields.field("on_error", choice(options.on_error, {"raise", "skip"}),
               "skip: training goes on without samples that cannot be read; raise: they end it, by name");
  fields.required("dataset");
}

void describe(Fields& fields, ModelOptions& options) {
  fields.field("zoo", &options.zoo, "architecture by name; `limbeck show --zoo` lists them");
  fields.field("file", &options.file, ".lmb or .pt2 instead of an architecture");
  fields.field("weights", &options.weights, ".pth, .safetensors or .lmb to start from; empty: fresh weights");
  fields.field("options", &options.options, "of the architecture: classes, in_channels, widths, blocks, ...");
  fields.field(
      "accept", choice(options.accept, {"none", "train", "eval", "both"}, parse_modes, graph::mode_name),
      "modes to run as they stand although the file does not tell all about them; `limbeck capture` lists what");
  fields.section("replace_head", "another number of classes: a new classifier in place of the old one", [&](Fields& f) {
    f.field("at", &options.replace_head.at, "scope of the classifier, such as fc; empty: it stays");
    f.field("classes", &options.replace_head.classes, "outputs of the new one");
  });
  fields.field("drop_softmax", &options.drop_softmax,
               "drop a softmax, log_softmax or sigmoid at the end, so that the model gives logits");
}

void describe(Fields& fields, train::TrainOptions& options) {
  fields.field("epochs", &options.epochs, "passes over the training set");
  fields.field("accumulate", &options.accumulate, "batches whose gradients make one optimizer step");
  fields.section("optimizer", "how parameters are updated",
                 [&](Fields& f) { describe_optimizer(f, options.optimizer); });
  fields.section("schedule", "how the learning rate changes",
                 [&](Fields& f) { describe_schedule(f, options.schedule); });
  fields.field("clip_norm", &options.clip_norm, "joint 2-norm of all gradients at most this; 0: no clipping");
  fields.field("label_smoothing", &options.label_smoothing, "of the labels' cross-entropy");
  fields.section("ema", "a running average of the weights", [&](Fields& f) { describe_average(f, options.ema); });
  fields.field("monitor",
               choice(options.monitor, {"val_accuracy", "val_loss", "train_accuracy", "loss"}, train::parse_metric,
                      train::metric_name),
               "what plateau, early_stop and keep: best go by; val_... need data.val_size");
  fields.section("early_stop", "end before all epochs are done",
                 [&](Fields& f) { describe_early_stop(f, options.early_stop); });
  fields.field(
      "keep", choice(options.keep, {"last", "best"}),
      "whose weights are the result: of the last epoch, or of the best by monitor (then last.lmb has the last)");
  fields.field("precision",
               choice(options.precision, {"fp32", "bf16", "fp16"}, train::parse_precision, train::precision_name),
               "bf16, fp16: autocast, fp16 with a dynamic loss scale");
  fields.field(
      "fusion", choice(options.fusion, {"none", "training"}),
      "training: batch norms and what follows them run as one, equal to PyTorch eager up to rounding; none: its bits");
  fields.section("loss_scale", "of fp16", [&](Fields& f) { describe_loss_scale(f, options.loss_scale); });
}

void describe_training(Fields& fields, TrainStage& stage) { describe_common(fields, stage); }

void describe_training(Fields& fields, DistillStage& stage) {
  fields.field("temperature", &stage.distill.kd.temperature, "of both softmaxes");
  fields.field("alpha", &stage.distill.kd.alpha, "weight of the teacher's term; 1 - alpha is the labels'");
  fields.list("features", "feature terms beside the logits", list_of(stage.distill.features, describe_feature));
  describe_common(fields, stage);
}

void describe(Fields& fields, TrainStage& stage) {
  fields.field("model", &stage.model, "which model to train: of `models`, or an earlier stage's result");
  fields.field("name", &stage.name, "of the result; empty: the model's");
  fields.field("logits", &stage.logits, "which of the model's outputs classifies, where it has several");
  describe_training(fields, stage);
  fields.field("resume_from", &stage.resume_from,
               ".pth of torch.save({model_state_dict, optimizer_state_dict}): weights and momentum to go on from");
  fields.field("resume_epoch", &stage.resume_epoch,
               "with resume_from: as many of the epochs as the file has under 'epoch' are done, also for the schedule");
  fields.required("model");
}

void describe(Fields& fields, DistillStage& stage) {
  fields.field("student", &stage.student, "which model to train");
  fields.field("teacher", &stage.teacher, "which model to learn from; its parameters and buffers stay as they are");
  fields.field("name", &stage.name, "of the result; empty: the student's");
  fields.field("logits", &stage.logits, "which of the student's outputs classifies, where it has several");
  fields.field("teacher_logits", &stage.teacher_logits, "which of the teacher's outputs, where it has several");
  fields.field("teacher_outputs", choice(stage.teacher_outputs, {"auto", "live", "cached"}),
               "cached: computed once, possible where nothing is augmented");
  describe_training(fields, stage);
  fields.required("student");
  fields.required("teacher");
}

void describe(Fields& fields, EvaluateStage& stage) {
  fields.field("name", &stage.name, "of the result");
  fields.field("models", &stage.models, "which results to compare; empty: all so far");
  fields.field("logits", &stage.logits, "which output classifies, in models that have several");
  fields.field("batch_size", &stage.batch_size, "samples per call when accuracy is measured");
  fields.field("latency_batch", &stage.latency_batch, "samples per timed call");
  fields.field("latency_runs", &stage.latency_runs, "timed calls per model; 0: latency is not measured");
  fields.field("memory_format", memory_format(stage.memory_format), "of inputs and convolution weights");
}

void describe(Fields& fields, Recipe& recipe) {
  fields.field("name", &recipe.name, "of the recipe; results go to runs/NAME unless `output` says otherwise");
  fields.field("seed", &recipe.seed, "of weights, order, augmentation and dropout");
  fields.field("output", &recipe.output, "folder for results");
  fields.field("threads", &recipe.threads, "0: as many as this process may use");
  fields.field("device", &recipe.device, "where models are trained and evaluated: cpu, cuda, cuda:1, xpu");
  fields.field("seeds", &recipe.seeds, "run it so often, with seed, seed + 1, ...; the report has mean and deviation");
  fields.section("data", "what to train and test on", [&](Fields& f) { describe(f, recipe.data); });
  fields.required("name");
  fields.required("data");
}

const char* stage_kind(const Stage& stage) {
  static constexpr const char* kKinds[] = {"train", "distill", "evaluate"};
  return kKinds[stage.index()];
}

std::string stage_name(const Stage& stage) {
  if (const auto* train = std::get_if<TrainStage>(&stage)) return train->name.empty() ? train->model : train->name;
  if (const auto* distill = std::get_if<DistillStage>(&stage))
    return distill->name.empty() ? distill->student : distill->name;
  return std::get<EvaluateStage>(stage).name;
}

}  // namespace limbeck::recipe
