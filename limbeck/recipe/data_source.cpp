#include "limbeck/recipe/data_source.h"

#include <algorithm>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/json.h"
#include "limbeck/data/open_dataset.h"
#include "limbeck/data/preprocessing.h"

namespace limbeck::recipe {

namespace {

std::shared_ptr<const data::Dataset> open(const DataOptions& options, data::Split split, int64_t limit) {
  data::OpenOptions open_options{.split = split, .val_size = options.val_size};
  if (!options.path.empty()) open_options.path = options.path;
  std::shared_ptr<const data::Dataset> dataset = data::open_dataset(options.dataset, open_options);
  return limit > 0 ? data::take(std::move(dataset), limit) : dataset;
}

data::Normalize resolve_normalization(const DataOptions& options, const data::Dataset& train) {
  LIMBECK_CHECK(options.mean.empty() == options.stddev.empty(), "[data] give both mean and stddev, or neither");
  if (options.mean.empty()) return data::channel_statistics(train);
  return {.mean = {options.mean.begin(), options.mean.end()}, .stddev = {options.stddev.begin(), options.stddev.end()}};
}

}  // namespace

DataSource::DataSource(DataOptions options, uint64_t seed) : options_(std::move(options)), seed_(seed) {
  train_ = open(options_, data::Split::train, options_.train_limit);
  if (options_.val_size > 0) val_ = open(options_, data::Split::val, 0);
  test_ = open(options_, data::Split::test, options_.test_limit);
  const data::Normalize normalize = resolve_normalization(options_, *train_);
  const data::ImageShape shape = train_->shape();
  LIMBECK_CHECK(
      options_.crop_padding < std::min(shape.height, shape.width),
      "[data] with a crop_padding of {} some crops of {} would hold nothing of the image: pad by less than its "
      "sides",
      options_.crop_padding, data::to_string(shape));
  if (options_.crop_padding > 0) train_transforms_.emplace_back(data::RandomCrop{.padding = options_.crop_padding});
  if (options_.flip_probability > 0) {
    train_transforms_.emplace_back(data::HorizontalFlip{.probability = options_.flip_probability});
  }
  train_transforms_.emplace_back(normalize);
  test_transforms_.emplace_back(normalize);
}

data::Loader DataSource::train_loader(MemoryLayout layout) const {
  return {train_,
          {.batch_size = options_.batch_size,
           .shuffle = true,
           .drop_last = true,
           .channels_last = layout == MemoryLayout::channels_last,
           .num_workers = static_cast<int>(options_.workers),
           .prefetch = 0,
           .seed = seed_,
           .transforms = train_transforms_}};
}

data::Loader DataSource::loader_in_order(std::shared_ptr<const data::Dataset> dataset, int64_t batch_size,
                                         MemoryLayout layout, std::vector<data::Transform> transforms) const {
  const int64_t samples = dataset->size();
  return {std::move(dataset),
          {.batch_size = std::min(batch_size, samples),
           .shuffle = false,
           .drop_last = false,
           .channels_last = layout == MemoryLayout::channels_last,
           .num_workers = static_cast<int>(options_.workers),
           .prefetch = 0,
           .seed = seed_,
           .transforms = std::move(transforms)}};
}

data::Loader DataSource::test_loader(int64_t batch_size, MemoryLayout layout,
                                     const std::optional<data::Normalize>& normalize) const {
  return loader_in_order(test_, batch_size, layout,
                         normalize ? std::vector<data::Transform>{*normalize} : test_transforms_);
}

std::optional<data::Loader> DataSource::val_loader(MemoryLayout layout) const {
  if (val_ == nullptr) return std::nullopt;
  return loader_in_order(val_, options_.batch_size, layout, test_transforms_);
}

at::Tensor DataSource::test_images(int64_t count, MemoryLayout layout) const {
  return test_loader(count, layout).next()->x;
}

std::string DataSource::preprocessing_json() const {
  return data::to_json({.shape = test_->shape(), .normalize = normalization()});
}

std::string DataSource::labels_json() const { return core::Json::array(test_->class_names()).dump(); }

}  // namespace limbeck::recipe
