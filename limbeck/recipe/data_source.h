// A recipe's data: datasets opened once, loaders made as stages need them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "limbeck/core/json/json.h"
#include "limbeck/data/loader.h"
#include "limbeck/recipe/options.h"

namespace limbeck::recipe {

/// What the stages of a recipe need of its data.
struct DataUse {
  bool trains = true;        // false: the test set alone, unless mean and standard deviation must be measured
  bool pins_memory = false;  // training batches go to a GPU: they lie in page-locked memory
};

/// Of the stages of `recipe` on its device.
DataUse data_use(const Recipe& recipe);

class DataSource {
 public:
  /// Opens the training, validation and test sets, as far as they are needed; measures mean and standard deviation
  /// where the options leave them out.
  explicit DataSource(DataOptions options, uint64_t seed, const DataUse& use = {});

  /// Null where nothing needs it.
  const std::shared_ptr<const data::Dataset>& train_set() const { return train_; }
  const std::shared_ptr<const data::Dataset>& test_set() const { return test_; }
  /// Augmentation and normalization, in that order.
  const std::vector<data::Transform>& train_transforms() const { return train_transforms_; }
  /// What the options say, normalization last.
  const std::vector<data::Transform>& test_transforms() const { return test_transforms_; }

  /// Shuffled and augmented. Throws InvalidArgument when, with drop_last, the batch is larger than the data.
  data::Loader train_loader(MemoryLayout layout) const;
  /// In order, prepared by test_transforms(), or as given here.
  data::Loader test_loader(int64_t batch_size, MemoryLayout layout) const;
  data::Loader test_loader(int64_t batch_size, MemoryLayout layout,
                           const std::vector<data::Transform>& transforms) const;
  /// The samples that training gave up, in order, normalized as the options say; nothing where val_size is 0.
  std::optional<data::Loader> val_loader(MemoryLayout layout) const;
  /// Of a test image as the model sees it.
  data::ImageShape image_shape() const;
  /// The first `count` test images as the model sees them: [count, C, H, W].
  at::Tensor test_images(int64_t count, MemoryLayout layout) const;
  at::Tensor test_images(int64_t count, MemoryLayout layout, const std::vector<data::Transform>& transforms) const;

  /// What training and testing subtract and divide by.
  const data::Normalize& normalization() const { return std::get<data::Normalize>(test_transforms_.back()); }
  /// What an application must do to an image before the model sees it, as JSON text: test transforms, mean, stddev.
  std::string preprocessing_json() const;
  /// The lists with all their options, for plans and reports.
  core::Json train_transforms_json() const;
  core::Json test_transforms_json() const;
  /// Class names as JSON text.
  std::string labels_json() const;
  /// Whether the samples of a training batch are mixed with each other.
  bool mixes_samples() const { return options_.mixup_alpha > 0 || options_.cutmix_alpha > 0; }
  const DataOptions& options() const { return options_; }

 private:
  DataOptions options_;
  uint64_t seed_;
  DataUse use_;
  std::shared_ptr<const data::Dataset> train_, test_, val_;  // val_: null where nothing is held out
  std::vector<data::Transform> train_transforms_, test_transforms_;

  data::Loader loader_in_order(std::shared_ptr<const data::Dataset> dataset, int64_t batch_size, MemoryLayout layout,
                               std::vector<data::Transform> transforms) const;
};

}  // namespace limbeck::recipe
