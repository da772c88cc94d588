#include "limbeck/recipe/data_source.h"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"
#include "limbeck/data/channel_statistics.h"
#include "limbeck/data/limited.h"
#include "limbeck/data/one_size.h"
#include "limbeck/data/open_dataset.h"
#include "limbeck/data/preprocessing.h"
#include "limbeck/data/transforms/options.h"
#include "limbeck/model/device.h"

namespace limbeck::recipe {

namespace {

std::shared_ptr<const data::Dataset> open(const DataOptions& options, data::Split split, int64_t limit) {
  data::OpenOptions open_options{.split = split, .val_size = options.val_size};
  if (!options.path.empty()) open_options.path = options.path;
  std::shared_ptr<const data::Dataset> dataset = data::open_dataset(options.dataset, open_options);
  return limit > 0 ? data::limited(std::move(dataset), limit) : dataset;
}

bool is_normalize(const data::Transform& transform) { return std::holds_alternative<data::Normalize>(transform); }

/// The list with a normalization: its own, else `normalize` at its end, before what erases in normalized images.
std::vector<data::Transform> normalized(std::vector<data::Transform> transforms, const data::Normalize& normalize) {
  if (std::any_of(transforms.begin(), transforms.end(), is_normalize)) return transforms;
  auto end = transforms.end();
  while (end != transforms.begin() && std::holds_alternative<data::RandomErasing>(*std::prev(end))) --end;
  transforms.insert(end, normalize);
  return transforms;
}

/// The normalization of a list, where it has one.
const data::Normalize* normalization_in(const std::vector<data::Transform>& transforms) {
  const auto found = std::find_if(transforms.begin(), transforms.end(), is_normalize);
  return found == transforms.end() ? nullptr : &std::get<data::Normalize>(*found);
}

/// Whether mean and stddev must be measured on the training set.
bool needs_statistics(const DataOptions& options) {
  return options.mean.empty() && normalization_in(options.test_transforms) == nullptr &&
         normalization_in(options.train_transforms) == nullptr;
}

/// What mean and stddev images get where a list of theirs has none. `train` is needed where they are measured.
data::Normalize choose_normalization(const DataOptions& options, const data::Dataset* train) {
  if (const auto* given = normalization_in(options.test_transforms)) return *given;
  if (const auto* given = normalization_in(options.train_transforms)) return *given;
  if (needs_statistics(options)) return data::channel_statistics(*train, options.on_error);
  return {.mean = {options.mean.begin(), options.mean.end()}, .stddev = {options.stddev.begin(), options.stddev.end()}};
}

std::vector<data::Transform> training_list(const DataOptions& options, const data::ImageShape& shape) {
  if (!options.train_transforms.empty()) return options.train_transforms;
  LIMBECK_CHECK(
      shape.is_open() || options.crop_padding < std::min(shape.height, shape.width),
      "[data] with a crop_padding of {} some crops of {} would hold nothing of the image: pad by less than its "
      "sides",
      options.crop_padding, data::to_string(shape));
  std::vector<data::Transform> transforms;
  if (options.crop_padding > 0) transforms.emplace_back(data::RandomCrop{.padding = options.crop_padding});
  if (options.flip_probability > 0) {
    transforms.emplace_back(data::HorizontalFlip{.probability = options.flip_probability});
  }
  return transforms;
}

/// The dataset with its images' size where `transforms` leave that open.
std::shared_ptr<const data::Dataset> with_size(std::shared_ptr<const data::Dataset> dataset, const char* key,
                                               const std::vector<data::Transform>& transforms, data::OnError on_error) {
  if (!data::output_shape(transforms, dataset->shape()).is_open()) return dataset;
  const std::string name = dataset->name();
  data::OneSize found = data::find_one_size(std::move(dataset), on_error);
  LIMBECK_CHECK(found.dataset != nullptr,
                "[data] the images of {} vary in size ({}, {}), and '{}' make no one size of them: let it have such as "
                "resize: {{size: 256}}, then center_crop: {{size: 224}}",
                name, found.first, found.other, key);
  return found.dataset;
}

/// A model must be tested on what it was trained for.
void check_shapes(const std::vector<data::Transform>& train, const std::vector<data::Transform>& test,
                  const data::ImageShape& shape) {
  const data::ImageShape trained = data::output_shape(train, shape), tested = data::output_shape(test, shape);
  LIMBECK_CHECK(
      trained.channels == tested.channels,
      "[data] 'train_transforms' make images of {} and 'test_transforms' of {}: the channels must be the same",
      data::to_string(trained), data::to_string(tested));
  LIMBECK_CHECK(is_normalize(test.back()), "[data] 'test_transforms' must end in normalize, or leave it out");
  for (const data::Transform& transform : test) {
    LIMBECK_CHECK(
        !data::is_random(transform),
        "[data] 'test_transforms' must not draw anything, as {} does. Use resize, center_crop, pad, grayscale.",
        data::name_of(transform));
  }
}

core::Json json_of(const std::vector<data::Transform>& transforms) {
  core::Json::Array list;
  for (const data::Transform& transform : transforms) list.push_back(data::to_json(transform));
  return core::Json(std::move(list));
}

std::vector<data::BatchTransform> batch_transforms(const DataOptions& options) {
  std::vector<data::BatchTransform> transforms;
  if (options.mixup_alpha > 0) transforms.emplace_back(data::MixUp{.alpha = options.mixup_alpha});
  if (options.cutmix_alpha > 0) transforms.emplace_back(data::CutMix{.alpha = options.cutmix_alpha});
  return transforms;
}

}  // namespace

DataUse data_use(const Recipe& recipe) {
  const bool only_tests = std::all_of(recipe.stages.begin(), recipe.stages.end(),
                                      [](const Stage& stage) { return std::holds_alternative<EvaluateStage>(stage); });
  return {.trains = !only_tests, .pins_memory = !parse_device_name(recipe.device).is_cpu()};
}

DataSource::DataSource(DataOptions options, uint64_t seed, const DataUse& use)
    : options_(std::move(options)), seed_(seed), use_(use) {
  LIMBECK_CHECK(options_.mean.empty() == options_.stddev.empty(), "[data] give both mean and stddev, or neither");
  if (use.trains || needs_statistics(options_)) train_ = open(options_, data::Split::train, options_.train_limit);
  if (use.trains && options_.val_size > 0) val_ = open(options_, data::Split::val, 0);
  test_ = open(options_, data::Split::test, options_.test_limit);
  if (train_ != nullptr)
    train_ = with_size(std::move(train_), "train_transforms", options_.train_transforms, options_.on_error);
  if (val_ != nullptr)
    val_ = with_size(std::move(val_), "test_transforms", options_.test_transforms, options_.on_error);
  test_ = with_size(std::move(test_), "test_transforms", options_.test_transforms, options_.on_error);
  const data::Normalize normalize = choose_normalization(options_, train_.get());
  const data::ImageShape shape = train_ ? train_->shape() : test_->shape();
  train_transforms_ = normalized(training_list(options_, shape), normalize);
  test_transforms_ = normalized(options_.test_transforms, normalize);
  check_shapes(train_transforms_, test_transforms_, test_->shape());
}

data::Loader DataSource::train_loader(MemoryLayout layout) const {
  return {train_,
          {.batch_size = options_.batch_size,
           .shuffle = true,
           .drop_last = options_.drop_last,
           .channels_last = layout == MemoryLayout::channels_last,
           .pin_memory = use_.pins_memory,
           .on_error = options_.on_error,
           .num_workers = static_cast<int>(options_.workers),
           .prefetch = 0,
           .seed = seed_,
           .transforms = train_transforms_,
           .batch_transforms = batch_transforms(options_),
           .decode_scale = options_.train_decoding}};
}

data::Loader DataSource::loader_in_order(std::shared_ptr<const data::Dataset> dataset, int64_t batch_size,
                                         MemoryLayout layout, std::vector<data::Transform> transforms) const {
  return {std::move(dataset),
          {.batch_size = batch_size,
           .shuffle = false,
           .drop_last = false,
           .channels_last = layout == MemoryLayout::channels_last,
           .on_error = options_.on_error,
           .num_workers = static_cast<int>(options_.workers),
           .prefetch = 0,
           .seed = seed_,
           .transforms = std::move(transforms)}};
}

data::Loader DataSource::test_loader(int64_t batch_size, MemoryLayout layout) const {
  return test_loader(batch_size, layout, test_transforms_);
}

data::Loader DataSource::test_loader(int64_t batch_size, MemoryLayout layout,
                                     const std::vector<data::Transform>& transforms) const {
  return loader_in_order(test_, batch_size, layout, transforms);
}

std::optional<data::Loader> DataSource::val_loader(MemoryLayout layout) const {
  if (val_ == nullptr) return std::nullopt;
  return loader_in_order(val_, options_.batch_size, layout, test_transforms_);
}

at::Tensor DataSource::test_images(int64_t count, MemoryLayout layout) const {
  return test_images(count, layout, test_transforms_);
}

at::Tensor DataSource::test_images(int64_t count, MemoryLayout layout,
                                   const std::vector<data::Transform>& transforms) const {
  if (options_.on_error == data::OnError::raise) return test_loader(count, layout, transforms).next()->x;
  data::Loader loader = test_loader(1, layout, transforms);
  std::vector<at::Tensor> images;
  for (int64_t i = 0; i < test_->size() && static_cast<int64_t>(images.size()) < count; ++i) {
    loader.seek({.epoch = 0, .step = i});
    try {
      images.push_back(loader.next()->x);
    } catch (const IoError&) {  // left out, as asked for
    }
  }
  if (images.empty()) fail<IoError>("[data] no sample of {} can be read", test_->name());
  return at::cat(images);
}

data::ImageShape DataSource::image_shape() const { return data::output_shape(test_transforms_, test_->shape()); }

std::string DataSource::preprocessing_json() const {
  if (test_transforms_.size() == 1) {
    return data::to_json({.shape = test_->shape(), .normalize = normalization(), .transforms = {}});
  }
  return data::to_json(data::make_preprocessing(test_transforms_, test_->shape()));
}

core::Json DataSource::train_transforms_json() const { return json_of(train_transforms_); }

core::Json DataSource::test_transforms_json() const { return json_of(test_transforms_); }

std::string DataSource::labels_json() const { return core::Json::array(test_->class_names()).dump(); }

}  // namespace limbeck::recipe
