// The deterministic loader: batches of a dataset, shuffled and augmented by counter-based random numbers, read ahead by
// worker threads. Batch `step` of epoch `epoch` depends on the dataset, the options and these two numbers only: it is
// the same with 0, 1 or 4 workers and after a resume from any step.
#pragma once

#include "limbeck/data/dataset.h"
#include "limbeck/data/files/encoded_image.h"
#include "limbeck/data/transforms.h"
#include "limbeck/data/transforms/mix.h"

#include <iterator>

namespace limbeck::data {

/// A sample that a batch lacks since it could not be read, and why: the text of its error.
struct SkippedSample {
  std::int64_t index = 0;
  std::string reason;
};

/// x: float32 [B, C, H, W] (channels_last strides if asked for); y: int64 [B], labels; index: int64 [B], the samples'
/// indices in the dataset; targets: float32 [B, classes], what the model should give where labels are soft (MixUp,
/// CutMix), else undefined.
struct Batch {
  at::Tensor x;
  at::Tensor y;
  at::Tensor index;
  at::Tensor targets = {};
  std::vector<SkippedSample> skipped = {};  // with OnError::skip: what x, y and index lack, in order

  std::int64_t size() const { return y.size(0); }
};

/// What becomes of a sample that cannot be read: of which reading throws IoError, such as a damaged image file.
/// `raise`: the error is that of its batch. `skip`: its batch goes without it, so it is smaller by one, and says so in
/// Batch::skipped; a batch of which nothing is left is an error. Which batches there are, in which order and with which
/// samples, stays the same, whatever can be read. Errors of other classes are never passed over.
enum class OnError { raise, skip };

struct LoaderOptions {
  std::int64_t batch_size = 128;           ///< samples
  bool shuffle = false;                    ///< a new order in every epoch
  bool drop_last = false;                  ///< leave out an epoch's last batch if it is not full
  bool channels_last = false;              ///< memory format of x
  bool pin_memory = false;                 ///< batches lie in page-locked memory, from which GPUs copy faster
  OnError on_error = OnError::raise;       ///< what becomes of a sample that cannot be read
  int num_workers = 0;                     ///< threads that read ahead; 0: batches are made by the caller of next()
  int prefetch = 0;                        ///< batches held ready at most; 0: two per worker
  std::uint64_t seed = 0;                  ///< of order and augmentation
  std::vector<Transform> transforms = {};  ///< see transforms.h
  /// Mixing of samples within a batch: one is drawn for each, and labels become Batch::targets.
  std::vector<BatchTransform> batch_transforms = {};
  /// Whether image files may be decoded smaller than they are: for augmented training alone.
  DecodeScale decode_scale = DecodeScale::exact;

  /// Throws InvalidArgument if a field is out of range, and Unsupported for pin_memory without an accelerator.
  void validate() const;
};

/// The place of the next batch: all that a checkpoint needs.
struct LoaderState {
  std::int64_t epoch = 0;
  std::int64_t step = 0;

  bool operator==(const LoaderState&) const = default;
};

class Loader;

/// The batches of a loader from where it stands until it reaches epoch `end_epoch`, for range-for. An exception of the
/// loader passes through.
class BatchRange {
 public:
  class Iterator {
   public:
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;

    explicit Iterator(BatchRange* range) : range_(range) { ++*this; }
    const Batch& operator*() const { return batch_; }
    const Batch* operator->() const { return &batch_; }
    Iterator& operator++();
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return range_ == nullptr; }

   private:
    BatchRange* range_;
    Batch batch_;
  };

  BatchRange(Loader& loader, std::int64_t end_epoch) : loader_(&loader), end_epoch_(end_epoch) {}
  Iterator begin() { return Iterator(this); }
  std::default_sentinel_t end() const { return std::default_sentinel; }

 private:
  Loader* loader_;
  std::int64_t end_epoch_;
};

/// Used by one thread at a time. Worker threads start with the first batch and end with the loader.
class Loader {
 public:
  /// Throws InvalidArgument if an option is out of range, a transform does not fit the images, or the dataset is empty
  /// or, with drop_last, smaller than a batch, and Unsupported for pin_memory where libtorch sees no accelerator.
  Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options);
  ~Loader();
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;

  /// The next batch of the epoch, or nothing at its end; the call after that begins the next epoch. It has batch_size
  /// samples, or fewer at the end of an epoch without drop_last and where some were skipped. An error in reading
  /// a sample is thrown here, when its batch is due, in its own class and with the sample's index in the message. The
  /// loader then stays where it is: seek(state()) tries again, seeking further skips the batch.
  std::optional<Batch> next();

  /// For `for (const Batch& b : loader.epochs(30))`: the batches until epoch 30 begins, from the loader's place.
  BatchRange epochs(std::int64_t end_epoch) & { return {*this, end_epoch}; }
  BatchRange epochs(std::int64_t end_epoch) && = delete;  // a range over a loader that is gone at once

  /// Where the next batch stands. At an epoch's end {epoch, batches_per_epoch()}, until next() has said so.
  LoaderState state() const { return state_; }

  /// Goes on from `state`; what was read ahead is dropped. Throws InvalidArgument unless epoch is in 0..2^32-1 and step
  /// in 0..batches_per_epoch().
  void seek(const LoaderState& state);

  std::int64_t batches_per_epoch() const;
  /// Samples that an epoch shows: all, or less with drop_last; what cannot be read counts too.
  std::int64_t samples_per_epoch() const;
  /// Samples missing from the batches that next() has given, with OnError::skip: the same for any number of workers.
  std::int64_t num_skipped() const { return num_skipped_; }
  const Dataset& dataset() const { return *dataset_; }
  const LoaderOptions& options() const { return options_; }
  /// Shape of one image of a batch, after the transforms.
  ImageShape image_shape() const;

 private:
  void begin_epoch();

  std::shared_ptr<const Dataset> dataset_;
  LoaderOptions options_;
  std::shared_ptr<const class BatchMaker> maker_;
  std::shared_ptr<const std::vector<std::int64_t>> order_;  // of the samples in this epoch; null until it is needed
  std::unique_ptr<class Prefetcher> prefetcher_;            // null without workers, and before the first batch
  bool is_reading_ahead_ = false;                           // the prefetcher is at work on this epoch
  LoaderState state_;
  std::int64_t num_skipped_ = 0;
};

}  // namespace limbeck::data
