#include "limbeck/data/loader.h"

#include "limbeck/core/error.h"
#include "limbeck/data/memory_dataset.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <optional>
#include <set>
#include <thread>

namespace limbeck::data {
namespace {

std::shared_ptr<const Dataset> random_images(std::int64_t size = 53, std::int64_t channels = 3) {
  at::Tensor images = at::arange(size * channels * 48, at::kLong).mul(61).remainder(251).to(at::kByte);
  return memory_dataset("random", images.view({size, channels, 6, 8}), at::arange(size, at::kLong).remainder(4),
                        numbered_class_names(4));
}

// Forwards to a dataset in memory without showing its pixels; counts what is read and can be made to fail.
class Slow final : public Dataset {
 public:
  explicit Slow(std::shared_ptr<const Dataset> inner) : inner_(std::move(inner)) {}

  std::string name() const override { return "slow"; }
  std::int64_t size() const override { return inner_->size(); }
  ImageShape shape() const override { return inner_->shape(); }
  const std::vector<std::string>& class_names() const override { return inner_->class_names(); }
  Sample sample(std::int64_t index) const override {
    ++num_read;
    if (at::get_num_threads() != 1) seen_team = true;
    if (on_sample) on_sample(index);
    return inner_->sample(index);
  }

  std::function<void(std::int64_t)> on_sample;
  mutable std::atomic<int> num_read{0};
  mutable std::atomic<bool> seen_team{false};

 private:
  std::shared_ptr<const Dataset> inner_;
};

LoaderOptions augmented(int num_workers) {
  return {.batch_size = 8,
          .shuffle = true,
          .num_workers = num_workers,
          .seed = 3,
          .transforms = {RandomCrop{.padding = 2}, HorizontalFlip{}, Normalize{{0.4F}, {0.3F}}}};
}

std::vector<Batch> collect(Loader& loader, std::int64_t end_epoch) {
  std::vector<Batch> batches;
  for (const Batch& batch : loader.epochs(end_epoch)) batches.push_back(batch);
  return batches;
}

void expect_equal(const std::vector<Batch>& got, const std::vector<Batch>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_TRUE(at::equal(got[i].index, expected[i].index)) << i;
    EXPECT_TRUE(at::equal(got[i].y, expected[i].y)) << i;
    EXPECT_TRUE(at::equal(got[i].x, expected[i].x)) << i;
  }
}

std::string thrown_by_next(Loader& loader) {
  try {
    loader.next();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing";
}

// What the exception of next() was made from.
std::string cause_of_next(Loader& loader) {
  try {
    loader.next();
  } catch (const std::exception& error) {
    try {
      std::rethrow_if_nested(error);
    } catch (const std::runtime_error& cause) {
      return cause.what();
    }
  }
  return "nothing";
}

/// What a fork of this process that runs `child` exits with; one that takes longer than a minute is killed, which is an
/// exit code of its own.
template <class Child>
int exit_code_of_fork(const Child& child) {
  constexpr int kHangs = 255;
  const pid_t process = ::fork();
  if (process == 0) ::_exit(child());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  int status = 0;
  while (::waitpid(process, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > deadline) {
      ::kill(process, SIGKILL);
      ::waitpid(process, &status, 0);
      return kHangs;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : kHangs;
}

/// Long enough for workers to fill what may be read ahead: they then wait for room.
void wait_until_workers_wait() { std::this_thread::sleep_for(std::chrono::milliseconds(50)); }

TEST(Loader, GivesEverySampleOnceAndAsItIs) {
  const auto dataset = random_images();
  Loader loader(dataset, {.batch_size = 8});
  EXPECT_EQ(loader.batches_per_epoch(), 7);
  EXPECT_EQ(loader.samples_per_epoch(), 53);
  std::int64_t next = 0;
  for (const Batch& batch : loader.epochs(1)) {
    EXPECT_EQ(batch.x.sizes(), at::IntArrayRef({batch.size(), 3, 6, 8}));
    for (std::int64_t i = 0; i < batch.size(); ++i, ++next) {
      const Sample sample = dataset->sample(next);
      EXPECT_EQ(batch.index[i].item<std::int64_t>(), next);
      EXPECT_EQ(batch.y[i].item<std::int64_t>(), sample.label);
      EXPECT_TRUE(at::equal(batch.x[i], sample.image.to(at::kFloat).div(255)));
    }
  }
  EXPECT_EQ(next, 53);
  EXPECT_EQ(loader.state(), (LoaderState{1, 0}));
}

TEST(Loader, EqualsTransformsAppliedOneByOne) {
  const auto dataset = random_images();
  const LoaderOptions options = augmented(2);
  Loader loader(dataset, options);
  std::int64_t epoch = 0;
  while (epoch < 2) {
    const auto batch = loader.next();
    if (!batch) {
      ++epoch;
      continue;
    }
    for (std::int64_t i = 0; i < batch->size(); ++i) {
      const auto index = batch->index[i].item<std::int64_t>();
      const at::Tensor expected = apply(options.transforms, dataset->sample(index).image, {3, epoch, index});
      EXPECT_TRUE(at::equal(batch->x[i], expected));
    }
  }
}

TEST(Loader, IsTheSameForAnyNumberOfWorkers) {
  Loader alone(random_images(), augmented(0));
  const auto expected = collect(alone, 3);
  ASSERT_EQ(expected.size(), 21U);
  for (const int workers : {1, 2, 4}) {
    Loader loader(random_images(), augmented(workers));
    expect_equal(collect(loader, 3), expected);
    LoaderOptions tight = augmented(workers);
    tight.prefetch = 1;
    Loader with_one_slot(random_images(), tight);
    expect_equal(collect(with_one_slot, 3), expected);
  }
}

TEST(Loader, IsTheSameThroughDatasetsOutsideMemory) {
  Loader fast(random_images(), augmented(0));
  const auto expected = collect(fast, 2);
  for (const int workers : {0, 4}) {
    const auto slow = std::make_shared<Slow>(random_images());
    Loader loader(slow, augmented(workers));
    expect_equal(collect(loader, 2), expected);
    EXPECT_EQ(slow->num_read, 106) << "nothing is read twice or beyond the end";
  }
}

TEST(Loader, GoesOnFromEveryStep) {
  Loader whole(random_images(), augmented(0));
  const auto expected = collect(whole, 3);
  for (std::int64_t at = 0; at <= 21; ++at) {
    Loader before(random_images(), augmented(2));
    for (std::int64_t taken = 0; taken < at;) taken += before.next().has_value();
    Loader after(random_images(), augmented(at % 3 == 0 ? 0 : 4));
    after.seek(before.state());
    expect_equal(collect(after, 3), {expected.begin() + at, expected.end()});
  }
}

TEST(Loader, SeeksBackAndForthWhileReadingAhead) {
  Loader whole(random_images(), augmented(0));
  const auto expected = collect(whole, 2);
  Loader loader(random_images(), augmented(2));
  for (const LoaderState& state :
       {LoaderState{1, 5}, LoaderState{0, 2}, LoaderState{0, 0}, LoaderState{1, 6}, LoaderState{1, 6}}) {
    loader.seek(state);
    EXPECT_EQ(loader.state(), state);
    const auto batch = loader.next();
    ASSERT_TRUE(batch);
    expect_equal({*batch}, {expected[static_cast<std::size_t>(state.epoch * 7 + state.step)]});
  }
  EXPECT_EQ(loader.state(), (LoaderState{1, 7}));
  EXPECT_FALSE(loader.next());
  EXPECT_EQ(loader.state(), (LoaderState{2, 0}));
}

TEST(Loader, ShufflesAnewInEveryEpochAndForEverySeed) {
  const auto order = [](std::uint64_t seed, std::int64_t epoch, bool shuffle = true) {
    Loader loader(random_images(), {.batch_size = 53, .shuffle = shuffle, .seed = seed});
    loader.seek({epoch, 0});
    return loader.next()->index;
  };
  EXPECT_TRUE(at::equal(order(1, 1, false), at::arange(53)));
  EXPECT_FALSE(at::equal(order(1, 1), at::arange(53)));
  EXPECT_TRUE(at::equal(std::get<0>(order(1, 1).sort()), at::arange(53)));
  EXPECT_TRUE(at::equal(order(1, 1), order(1, 1)));
  EXPECT_FALSE(at::equal(order(1, 1), order(1, 2)));
  EXPECT_FALSE(at::equal(order(1, 1), order(2, 1)));
}

TEST(Loader, DropsTheLastBatchOnlyIfItIsNotFull) {
  Loader odd(random_images(53), {.batch_size = 8, .drop_last = true});
  EXPECT_EQ(odd.batches_per_epoch(), 6);
  EXPECT_EQ(odd.samples_per_epoch(), 48);
  EXPECT_EQ(collect(odd, 1).size(), 6U);
  Loader even(random_images(48), {.batch_size = 8, .drop_last = true});
  EXPECT_EQ(even.batches_per_epoch(), 6);
  Loader kept(random_images(53), {.batch_size = 8});
  EXPECT_EQ(collect(kept, 1).back().size(), 5);
}

TEST(Loader, GivesChannelsLastWithTheSameValues) {
  LoaderOptions options = augmented(1);
  Loader first(random_images(), options);
  options.channels_last = true;
  Loader last(random_images(), options);
  const auto a = first.next(), b = last.next();
  EXPECT_TRUE(b->x.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_FALSE(b->x.is_contiguous());
  EXPECT_TRUE(at::equal(a->x, b->x));
}

TEST(Loader, TakesFloatImagesAsTheyAre) {
  const at::Tensor images = at::arange(24, at::kFloat).view({2, 3, 2, 2}).sub(7);
  Loader loader(memory_dataset("float", images, at::zeros({2}, at::kLong), {"a"}), {.batch_size = 2});
  EXPECT_TRUE(at::equal(loader.next()->x, images));
}

TEST(Loader, ServesOneSampleOfOnePixel) {
  Loader loader(memory_dataset("one", at::ones({1, 1, 1, 1}), at::zeros({1}, at::kLong), {"a"}),
                {.batch_size = 1, .shuffle = true, .num_workers = 2});
  EXPECT_EQ(collect(loader, 5).size(), 5U);
}

TEST(Loader, GivesOneShortBatchOfADatasetThatIsSmaller) {
  for (const int workers : {0, 2}) {
    Loader loader(random_images(5), {.batch_size = 128, .num_workers = workers});
    const auto batches = collect(loader, 2);
    ASSERT_EQ(batches.size(), 2U) << "one an epoch";
    EXPECT_EQ(batches[1].x.sizes(), at::IntArrayRef({5, 3, 6, 8}));
    EXPECT_EQ(loader.batches_per_epoch(), 1);
    EXPECT_EQ(loader.samples_per_epoch(), 5);
  }
}

TEST(Loader, RefusesBadOptions) {
  const auto refusal = [](LoaderOptions options, std::shared_ptr<const Dataset> dataset = random_images()) {
    try {
      Loader loader(std::move(dataset), std::move(options));
    } catch (const InvalidArgument& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refusal({.batch_size = 54, .drop_last = true}),
            "[data] a batch of 54 is larger than random, which has 53 samples: with drop_last there is none. Make the "
            "batch smaller, or leave drop_last out.");
  EXPECT_EQ(refusal({.batch_size = 53, .drop_last = true}), "accepted");
  EXPECT_NE(refusal({.batch_size = 0}), "accepted");
  EXPECT_NE(refusal({.num_workers = -1}), "accepted");
  EXPECT_NE(refusal({.num_workers = 1000}), "accepted");
  EXPECT_NE(refusal({.prefetch = -1}), "accepted");
  EXPECT_NE(refusal({.transforms = {RandomCrop{.padding = 0, .size = {7}}}}), "accepted");
  EXPECT_NE(refusal({.batch_size = 1}, take(random_images(), 0)).find("is empty"), std::string::npos);
  Loader loader(random_images(), {.batch_size = 8});
  EXPECT_THROW(loader.seek({0, 8}), InvalidArgument);
  EXPECT_THROW(loader.seek({-1, 0}), InvalidArgument);
  EXPECT_THROW(loader.seek({std::int64_t{1} << 32, 0}), InvalidArgument);
}

TEST(Loader, DeliversAnErrorWhenItsBatchIsDueAndInItsClass) {
  for (const int workers : {0, 1, 4}) {
    const auto slow = std::make_shared<Slow>(random_images());
    slow->on_sample = [](std::int64_t index) {
      if (index == 21) fail<IoError>("the file is gone");
    };
    Loader loader(slow, {.batch_size = 8, .num_workers = workers});
    EXPECT_TRUE(loader.next());
    EXPECT_TRUE(loader.next());
    for (int again = 0; again < 2; ++again) {
      EXPECT_THROW(loader.next(), IoError);
      EXPECT_EQ(thrown_by_next(loader), "[data] sample 21 of slow: the file is gone");
      EXPECT_EQ(loader.state(), (LoaderState{0, 2}));
    }
    loader.seek({0, 3});
    EXPECT_EQ(loader.next()->index[0].item<std::int64_t>(), 24) << "the batch can be skipped";
  }
}

TEST(Loader, ReadsAgainAfterSeekingToWhereItStands) {
  for (const int workers : {0, 2}) {
    const auto slow = std::make_shared<Slow>(random_images());
    std::atomic<bool> is_broken{true};
    slow->on_sample = [&](std::int64_t) {
      if (is_broken) throw std::runtime_error("disk asleep");
    };
    Loader loader(slow, {.batch_size = 8, .num_workers = workers});
    EXPECT_EQ(thrown_by_next(loader), "[data] sample 0 of slow: disk asleep");
    EXPECT_EQ(cause_of_next(loader), "disk asleep");
    EXPECT_THROW(loader.next(), Error);
    is_broken = false;
    loader.seek(loader.state());
    EXPECT_TRUE(loader.next());
  }
}

TEST(Loader, StopsAllItsWorkersAtOnce) {
  constexpr int kWorkers = 16;
  const auto slow = std::make_shared<Slow>(random_images(400));
  slow->on_sample = [](std::int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  int before = 0;
  {
    Loader loader(slow, {.batch_size = 1, .num_workers = kWorkers, .prefetch = 300});
    EXPECT_TRUE(loader.next());
    before = slow->num_read;
  }
  EXPECT_LE(slow->num_read - before, 2 * kWorkers) << "what they were at, and what they began until they were told";
}

TEST(Loader, OutlivesAWorkerThatIsEnded) {
  const auto slow = std::make_shared<Slow>(random_images());
  slow->on_sample = [](std::int64_t index) {
    if (index == 8) pthread_exit(nullptr);  // as Python does to threads that want its lock when it has ended
  };
  Loader loader(slow, {.batch_size = 8, .num_workers = 2});
  EXPECT_TRUE(loader.next());
  EXPECT_EQ(thrown_by_next(loader), "[data] a worker thread was ended while it made a batch.");
}

// Every fifth sample is a damaged file.
std::shared_ptr<Slow> damaged() {
  const auto slow = std::make_shared<Slow>(random_images());
  slow->on_sample = [](std::int64_t index) {
    if (index % 5 == 0) fail<IoError>("file {} is damaged", index);
  };
  return slow;
}

TEST(LoaderSkip, LeavesOutAndCountsWhatCannotBeReadForAnyNumberOfWorkers) {
  Loader whole(random_images(), augmented(0));
  const auto expected = collect(whole, 2);
  for (const int workers : {0, 1, 4}) {
    LoaderOptions options = augmented(workers);
    options.on_error = OnError::skip;
    options.channels_last = workers == 1;
    Loader loader(damaged(), options);
    const auto batches = collect(loader, 2);
    ASSERT_EQ(batches.size(), expected.size());
    for (std::size_t i = 0; i < batches.size(); ++i) {
      const at::Tensor kept = expected[i].index.remainder(5).ne(0);
      EXPECT_TRUE(at::equal(batches[i].index, expected[i].index.masked_select(kept)));
      EXPECT_TRUE(at::equal(batches[i].y, expected[i].y.masked_select(kept)));
      EXPECT_TRUE(at::equal(batches[i].x, expected[i].x.index({kept})));
      EXPECT_EQ(batches[i].size() + static_cast<std::int64_t>(batches[i].skipped.size()), expected[i].size());
      for (const SkippedSample& one : batches[i].skipped) {
        EXPECT_EQ(one.index % 5, 0);
        EXPECT_EQ(one.reason, fmt::format("file {} is damaged", one.index));
      }
    }
    EXPECT_EQ(loader.num_skipped(), 22);
  }
}

TEST(LoaderSkip, RaisesUnlessAskedToSkip) {
  Loader loader(damaged(), {.batch_size = 8});
  EXPECT_EQ(thrown_by_next(loader), "[data] sample 0 of slow: file 0 is damaged");
}

TEST(LoaderSkip, RaisesWhereABatchWouldBeEmpty) {
  const auto slow = std::make_shared<Slow>(random_images());
  slow->on_sample = [](std::int64_t index) {
    if (index >= 8 && index < 16) fail<IoError>("the disk is gone");
  };
  Loader loader(slow, {.batch_size = 8, .on_error = OnError::skip});
  EXPECT_TRUE(loader.next());
  EXPECT_THROW(loader.next(), IoError);
  EXPECT_EQ(thrown_by_next(loader),
            "[data] none of the 8 samples of a batch can be read; the first, sample 8: the disk is gone");
}

TEST(LoaderSkip, PassesOverNoOtherErrors) {
  const auto slow = std::make_shared<Slow>(random_images());
  slow->on_sample = [](std::int64_t index) {
    if (index == 3) fail<InvalidArgument>("a mistake");
  };
  Loader loader(slow, {.batch_size = 8, .on_error = OnError::skip});
  EXPECT_EQ(thrown_by_next(loader), "[data] sample 3 of slow: a mistake");
}

TEST(Loader, PinsItsBatchesWhereThereIsAGpu) {
  if (!at::getAccelerator(false).has_value()) GTEST_SKIP() << "no GPU";
  Loader loader(random_images(), {.batch_size = 8, .pin_memory = true});
  const auto batch = loader.next();
  EXPECT_TRUE(batch->x.is_pinned());
  EXPECT_TRUE(batch->y.is_pinned());
}

TEST(Loader, RefusesToPinWithoutAGpu) {
  if (at::getAccelerator(false).has_value()) GTEST_SKIP() << "there is a GPU";
  EXPECT_THROW(Loader(random_images(), {.batch_size = 8, .pin_memory = true}), Unsupported);
}

TEST(Loader, StopsWhileWorkersThrow) {
  for (int i = 0; i < 20; ++i) {
    const auto slow = std::make_shared<Slow>(random_images(400));
    slow->on_sample = [](std::int64_t index) {
      if (index % 3 == 0) fail<IoError>("gone");
    };
    Loader loader(slow, {.batch_size = 4, .num_workers = 4, .prefetch = 1 + i % 5});
    if (i % 2 == 0) {
      EXPECT_THROW(loader.next(), IoError);
    }
    if (i % 4 == 0) loader.seek({1, 50});
  }
}

// A dataset that breaks its own promises.
class Broken final : public Dataset {
 public:
  explicit Broken(Sample sample) : sample_(std::move(sample)) {}
  std::string name() const override { return "broken"; }
  std::int64_t size() const override { return 4; }
  ImageShape shape() const override { return {1, 2, 2}; }
  const std::vector<std::string>& class_names() const override { return names_; }
  Sample sample(std::int64_t) const override { return sample_; }

 private:
  Sample sample_;
  std::vector<std::string> names_{"a", "b"};
};

TEST(Loader, ChecksWhatADatasetReturns) {
  const auto message = [](const at::Tensor& image, std::int64_t label) {
    Loader loader(std::make_shared<Broken>(Sample{image, label}), {.batch_size = 2, .num_workers = 1});
    return thrown_by_next(loader);
  };
  EXPECT_EQ(message(at::zeros({1, 2, 2}), 1), "nothing");
  EXPECT_EQ(message(at::zeros({1, 2, 2}), 2), "[data] sample 0 of broken: the label must lie in 0..1, got 2.");
  EXPECT_EQ(message(at::zeros({1, 2, 2}, at::kInt), 0),
            "[data] sample 0 of broken: the image must be uint8 or float32, got Int.");
  EXPECT_EQ(
      message(at::zeros({1, 2, 3}), 0),
      "[data] sample 0 of broken: the image is [1, 2, 3], where the dataset's are [1, 2, 2], and a batch needs one "
      "size. Add random_resized_crop, center_crop or resize with height and width.");
  EXPECT_EQ(message(at::zeros({2, 2, 2}), 0),
            "[data] sample 0 of broken: the image must be a tensor [1, 2, 2] on the CPU.");
  EXPECT_NE(message(at::Tensor(), 0), "nothing");
}

TEST(Loader, ReadsAheadNoFurtherThanItsBound) {
  const auto slow = std::make_shared<Slow>(random_images(400));
  Loader loader(slow, {.batch_size = 10, .num_workers = 4, .prefetch = 3});
  loader.next();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LE(slow->num_read, 40) << "one taken and three ahead";
  loader.next();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LE(slow->num_read, 50);
}

TEST(Loader, StopsWhileWorkersAreBusy) {
  const auto slow = std::make_shared<Slow>(random_images());
  slow->on_sample = [](std::int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
  for (int i = 0; i < 10; ++i) {
    Loader loader(slow, {.batch_size = 8, .num_workers = 4});
    if (i % 2 == 0) loader.next();
    if (i % 4 == 0) loader.seek({5, 3});
  }
  EXPECT_EQ(slow.use_count(), 1) << "all workers are gone";
}

TEST(LoaderInAFork, IsDestroyedWithoutWaitingForThreadsThatAreNotThere) {
  std::optional<Loader> loader(std::in_place, random_images(), augmented(2));
  loader->next();
  wait_until_workers_wait();
  EXPECT_EQ(exit_code_of_fork([&] {
              loader.reset();
              return 0;
            }),
            0);
  EXPECT_TRUE(loader->next().has_value()) << "the process that was forked goes on";
}

TEST(LoaderInAFork, GoesOnByWorkersOfItsOwn) {
  Loader whole(random_images(), augmented(0)), forked(random_images(), augmented(2));
  const std::vector<Batch> expected = collect(whole, 2);
  forked.next();
  wait_until_workers_wait();
  EXPECT_EQ(exit_code_of_fork([&] {
              for (std::size_t i = 1; i < expected.size(); ++i) {
                std::optional<Batch> batch = forked.next();
                if (!batch) batch = forked.next();  // an epoch's end
                if (!at::equal(batch->x, expected[i].x)) return 1;
              }
              forked.seek({.epoch = 1, .step = 2});
              return forked.next()->index.equal(expected[static_cast<std::size_t>(whole.batches_per_epoch()) + 2].index)
                         ? 0
                         : 2;
            }),
            0);
}

TEST(LoaderInAFork, SeeksWhereItsWorkersNeverWere) {
  Loader loader(random_images(), augmented(2));
  loader.next();
  wait_until_workers_wait();
  EXPECT_EQ(exit_code_of_fork([&] {
              loader.seek({.epoch = 3, .step = 1});
              return 0;
            }),
            0);
}

TEST(Loader, GoesOnAfterBeingMoved) {
  Loader whole(random_images(), augmented(0));
  const auto expected = collect(whole, 1);
  Loader loader(random_images(), augmented(2));
  loader.next();
  Loader moved = std::move(loader);
  expect_equal(collect(moved, 1), {expected.begin() + 1, expected.end()});
}

TEST(Loader, KeepsOperatorsOfWorkersOnTheirThread) {
  const int before = at::get_num_threads();
  const auto slow = std::make_shared<Slow>(random_images());
  Loader loader(slow, {.batch_size = 8, .num_workers = 2});
  collect(loader, 1);
  EXPECT_FALSE(slow->seen_team);
  EXPECT_EQ(at::get_num_threads(), before) << "the caller keeps its team";
}

}  // namespace
}  // namespace limbeck::data
