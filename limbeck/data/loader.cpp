#include "limbeck/data/loader.h"

#include "limbeck/core/error.h"
#include "limbeck/core/log.h"
#include "limbeck/core/rng.h"
#include "limbeck/data/batch_maker.h"
#include "limbeck/data/prefetcher.h"

#include <ATen/DeviceAccelerator.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace limbeck::data {
namespace {

constexpr int kMaxWorkers = 256;
constexpr std::int64_t kMaxWarnings = 20;
constexpr int kMaxPrefetch = 1024;
constexpr std::int64_t kMaxEpoch = std::numeric_limits<std::uint32_t>::max();  // core::RngKey::epoch
// Place in RngKey::transform that no list of transforms reaches.
constexpr std::uint32_t kOrderStream = 0xffff;
constexpr std::size_t kMaxTransforms = 0x1000;

std::vector<std::int64_t> sample_order(const Dataset& dataset, const LoaderOptions& options, std::int64_t epoch) {
  if (!options.shuffle) {
    std::vector<std::int64_t> order(static_cast<std::size_t>(dataset.size()));
    std::iota(order.begin(), order.end(), 0);
    return order;
  }
  core::Rng rng({.seed = options.seed, .epoch = static_cast<std::uint64_t>(epoch), .transform = kOrderStream});
  return core::permutation(dataset.size(), rng);
}

// The samples of batch `step` within `order`.
std::span<const std::int64_t> samples_of(const std::vector<std::int64_t>& order, std::int64_t step,
                                         std::int64_t batch_size) {
  const auto first = static_cast<std::size_t>(step * batch_size);
  return std::span(order).subspan(first, std::min(static_cast<std::size_t>(batch_size), order.size() - first));
}

// Says what is left out, as long as that is news: a file is damaged in every epoch anew.
void warn_of(const SkippedSample& skipped, const Dataset& dataset, std::int64_t count) {
  if (count > kMaxWarnings) return;
  core::log_warning("[data] sample {} of {} is left out: {}", skipped.index, dataset.name(), skipped.reason);
  if (count == kMaxWarnings)
    core::log_warning("[data] {}: further samples are left out without a word", dataset.name());
}

}  // namespace

void LoaderOptions::validate() const {
  LIMBECK_CHECK(batch_size >= 1, "[data] batch_size must be at least 1, got {}.", batch_size);
  LIMBECK_CHECK(num_workers >= 0 && num_workers <= kMaxWorkers, "[data] num_workers must lie in 0..{}, got {}.",
                kMaxWorkers, num_workers);
  LIMBECK_CHECK(prefetch >= 0 && prefetch <= kMaxPrefetch, "[data] prefetch must lie in 0..{}, got {}.", kMaxPrefetch,
                prefetch);
  LIMBECK_CHECK(transforms.size() < kMaxTransforms, "[data] {} transforms are too many.", transforms.size());
  for (const BatchTransform& transform : batch_transforms) check(transform);
  if (pin_memory && !at::getAccelerator(/*checked=*/false).has_value()) {
    fail<Unsupported>("[data] pin_memory is for copies to a GPU, and this libtorch sees none. Leave it out.");
  }
}

BatchRange::Iterator& BatchRange::Iterator::operator++() {
  while (range_ != nullptr && range_->loader_->state().epoch < range_->end_epoch_) {
    if (auto batch = range_->loader_->next()) {
      batch_ = std::move(*batch);
      return *this;
    }
  }
  range_ = nullptr;
  return *this;
}

Loader::Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options)
    : dataset_(std::move(dataset)), options_(std::move(options)) {
  LIMBECK_CHECK(dataset_ != nullptr, "[data] a loader needs a dataset.");
  options_.validate();
  LIMBECK_CHECK(dataset_->size() > 0, "[data] {} is empty: there is nothing to load.", dataset_->name());
  LIMBECK_CHECK(!options_.drop_last || options_.batch_size <= dataset_->size(),
                "[data] a batch of {} is larger than {}, which has {} samples: with drop_last there is none. Make the "
                "batch smaller, or leave drop_last out.",
                options_.batch_size, dataset_->name(), dataset_->size());
  maker_ = std::make_shared<const BatchMaker>(dataset_, options_);
}

Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;

std::int64_t Loader::batches_per_epoch() const {
  const std::int64_t size = dataset_->size(), batch = options_.batch_size;
  return options_.drop_last ? size / batch : (size + batch - 1) / batch;
}

std::int64_t Loader::samples_per_epoch() const {
  return std::min(batches_per_epoch() * options_.batch_size, dataset_->size());
}

ImageShape Loader::image_shape() const { return maker_->image_shape(); }

void Loader::begin_epoch() {
  if (order_ == nullptr) {
    order_ = std::make_shared<const std::vector<std::int64_t>>(sample_order(*dataset_, options_, state_.epoch));
  }
  if (prefetcher_ != nullptr && prefetcher_->is_orphan()) {  // a fork reads ahead by workers of its own
    prefetcher_.reset();
    is_reading_ahead_ = false;
  }
  if (options_.num_workers == 0 || is_reading_ahead_) return;
  if (prefetcher_ == nullptr) {
    const int capacity = options_.prefetch > 0 ? options_.prefetch : 2 * options_.num_workers;
    prefetcher_ = std::make_unique<Prefetcher>(options_.num_workers, capacity);
  }
  auto make = [maker = maker_, order = order_, epoch = state_.epoch, size = options_.batch_size](std::int64_t step) {
    return maker->make(samples_of(*order, step, size), epoch);
  };
  prefetcher_->start(std::move(make), state_.step, batches_per_epoch());
  is_reading_ahead_ = true;
}

std::optional<Batch> Loader::next() {
  if (state_.step == batches_per_epoch()) {
    LIMBECK_CHECK(state_.epoch < kMaxEpoch, "[data] epoch {} is the last that a loader counts.", kMaxEpoch);
    state_ = {state_.epoch + 1, 0};
    order_.reset();
    is_reading_ahead_ = false;
    return std::nullopt;
  }
  begin_epoch();
  Batch batch = prefetcher_ != nullptr
                    ? prefetcher_->take()
                    : maker_->make(samples_of(*order_, state_.step, options_.batch_size), state_.epoch);
  ++state_.step;
  for (const SkippedSample& one : batch.skipped) warn_of(one, *dataset_, ++num_skipped_);
  return batch;
}

void Loader::seek(const LoaderState& state) {
  LIMBECK_CHECK(
      state.epoch >= 0 && state.epoch <= kMaxEpoch && state.step >= 0 && state.step <= batches_per_epoch(),
      "[data] a loader with {} batches an epoch cannot go to epoch {}, step {}. Use the state of a loader with "
      "the same dataset and batch size.",
      batches_per_epoch(), state.epoch, state.step);
  if (prefetcher_ != nullptr && !prefetcher_->is_orphan()) prefetcher_->cancel();
  is_reading_ahead_ = false;
  if (state.epoch != state_.epoch) order_.reset();
  state_ = state;
}

}  // namespace limbeck::data
