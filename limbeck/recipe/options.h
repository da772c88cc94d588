// What a recipe says, as plain option structs, and their one description each (see fields.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "limbeck/distill/distiller.h"
#include "limbeck/recipe/fields.h"
#include "limbeck/train/trainer.h"

namespace limbeck::recipe {

struct DataOptions {
  std::string dataset;      // "fashion-mnist", "idx:FOLDER", "synthetic:..."
  std::string path;         // folder of the data, where it is not found by itself
  int64_t val_size = 0;     // samples of the training set held out for validation
  int64_t train_limit = 0;  // use only so many training samples, as data/limited.h takes them; 0: all
  int64_t test_limit = 0;   // and test samples
  int64_t batch_size = 128;
  bool drop_last = true;             // leave out the last batch of an epoch where it is not full
  int64_t workers = 0;               // threads that read ahead
  std::vector<double> mean, stddev;  // normalization; empty: measured on the training set
  int64_t crop_padding = 0;          // pixels of zero around the image before a random crop; 0: no crop
  double flip_probability = 0;       // of a horizontal flip
  // Instead of crop_padding and flip_probability: what is done to images. `mean` and `stddev` normalize them where a
  // list does not, at its end, but before what erases in normalized images.
  std::vector<data::Transform> train_transforms, test_transforms;
  double mixup_alpha = 0, cutmix_alpha = 0;  // of Beta(alpha, alpha); 0: off; with both, each batch draws one
  data::DecodeScale train_decoding = data::DecodeScale::scaled;
  data::OnError on_error = data::OnError::raise;  // what becomes of samples that cannot be read

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// Another number of classes for a trained network.
struct HeadReplacement {
  std::string at;       // scope of the classifier; empty: it stays
  int64_t classes = 0;  // of the new one
};

/// One of: `zoo` with its options, or `file`.
struct ModelOptions {
  std::string zoo;                             // architecture by name
  std::string file;                            // .lmb or .pt2
  std::string weights;                         // .pth or safetensors to start from; empty: fresh ones
  std::map<std::string, std::string> options;  // of the architecture: widths, blocks, classes, ...
  graph::Mode accept = graph::Mode::none;      // modes to run although the file does not tell all about them
  HeadReplacement replace_head{};              // after the weights are loaded
  bool drop_softmax = false;                   // a softmax, log_softmax or sigmoid at the end goes: it gives logits

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

enum class MemoryLayout : uint8_t { contiguous, channels_last };

struct TrainStage {
  std::string model;   // of `models` or an earlier stage
  std::string name;    // of the result; empty: the model's
  std::string logits;  // the output that classifies, where there are several; empty: as Outputs::logits() takes it
  train::TrainOptions train{};
  std::vector<std::string> freeze;  // regular expressions: parameters that stay as they are, with their BatchNorms
  std::string resume_from;          // .pth of torch.save with the weights and the optimizer's state to go on from
  bool resume_epoch = false;        // its 'epoch' epochs are done: schedule and order of samples go on after them
  train::MetricsOptions log{};
  MemoryLayout memory_format = MemoryLayout::channels_last;
};

enum class TeacherSource : uint8_t {
  automatic,  // cached where nothing is augmented and the outputs fit, else live
  live,
  cached,
};

struct DistillStage {
  std::string student, teacher;
  std::string name;                    // of the result; empty: the student's
  std::string logits, teacher_logits;  // the outputs that classify, where there are several; empty: Outputs::logits()
  distill::DistillOptions distill{};
  TeacherSource teacher_outputs = TeacherSource::automatic;
  train::TrainOptions train{};
  std::vector<std::string> freeze;  // regular expressions: parameters that stay as they are, with their BatchNorms
  train::MetricsOptions log{};
  MemoryLayout memory_format = MemoryLayout::channels_last;
};

struct EvaluateStage {
  std::string name = "evaluate";    // of the result
  std::vector<std::string> models;  // empty: all results so far
  std::string logits;               // the output that classifies, in models with several; empty: Outputs::logits()
  int64_t batch_size = 256;
  int64_t latency_batch = 1;   // samples per timed call
  int64_t latency_runs = 200;  // timed calls per model; 0: latency is not measured
  MemoryLayout memory_format = MemoryLayout::channels_last;

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

using Stage = std::variant<TrainStage, DistillStage, EvaluateStage>;

/// A key of the recipe and the values that it takes in turn; several axes make a grid.
struct SweepAxis {
  std::string key;                  // as --set has it: "stages.teacher.optimizer.lr"
  std::vector<std::string> values;  // YAML text
};

struct Recipe {
  std::string name;
  uint64_t seed = 0;
  std::string output;   // folder for results; empty: runs/<name>
  int64_t threads = 0;  // 0: as many as this process may use
  std::string device = "cpu";
  int64_t seeds = 1;  // the recipe is run with seed, seed + 1, ...: so often
  std::vector<SweepAxis> sweep;
  DataOptions data{};
  std::vector<std::pair<std::string, ModelOptions>> models;
  std::vector<Stage> stages;

  /// Of the recipe's own fields. Throws InvalidArgument if one is out of range.
  void validate() const;
};

void describe(Fields& fields, DataOptions& options);
void describe(Fields& fields, ModelOptions& options);
void describe(Fields& fields, train::TrainOptions& options);
/// The keys of a training itself, without the names of its models and result: what Python's fit takes.
void describe_training(Fields& fields, TrainStage& stage);
void describe_training(Fields& fields, DistillStage& stage);
void describe(Fields& fields, TrainStage& stage);
void describe(Fields& fields, DistillStage& stage);
void describe(Fields& fields, EvaluateStage& stage);
/// The recipe's plain keys; `models` and `stages`, whose shape depends on their content, are the reader's.
void describe(Fields& fields, Recipe& recipe);

/// "train", "distill" or "evaluate".
const char* stage_kind(const Stage& stage);
/// The name of the stage's result: its own, else its model's.
std::string stage_name(const Stage& stage);

}  // namespace limbeck::recipe
