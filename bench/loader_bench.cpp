// Images per second of the loader on Fashion-MNIST with random crop, flip and normalization, for several numbers of
// worker threads, taken in turns. Before timing it checks that all of them give the same batches.
//   loader_bench [FOLDER] [ROUNDS]
#include "limbeck/core/machine.h"
#include "limbeck/data/files/idx_dataset.h"
#include "limbeck/data/loader.h"
#include "limbeck/data/open_dataset.h"

#include <ATen/ATen.h>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

namespace {

namespace data = limbeck::data;

struct Contender {
  int num_workers;
  bool channels_last;
  std::vector<double> images_per_s;
};

data::Loader make_loader(const std::shared_ptr<const data::Dataset>& dataset, const Contender& contender) {
  return {
      dataset,
      {.batch_size = 128,
       .shuffle = true,
       .channels_last = contender.channels_last,
       .num_workers = contender.num_workers,
       .seed = 1,
       .transforms = {data::RandomCrop{.padding = 2}, data::HorizontalFlip{}, data::Normalize{{0.286F}, {0.353F}}}}};
}

bool give_same_batches(const std::shared_ptr<const data::Dataset>& dataset, const std::vector<Contender>& contenders) {
  auto expected = make_loader(dataset, contenders.front());
  std::vector<data::Loader> others;
  for (const Contender& contender : contenders) others.push_back(make_loader(dataset, contender));
  while (const auto batch = expected.next()) {
    for (data::Loader& other : others) {
      const auto same = other.next();
      if (!at::equal(batch->x, same->x) || !at::equal(batch->y, same->y)) return false;
    }
  }
  return true;
}

double seconds_of_epoch(data::Loader& loader) {
  const auto start = std::chrono::steady_clock::now();
  while (loader.next()) {
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  data::OpenOptions where;
  if (argc > 1) where.path = argv[1];
  const int rounds = argc > 2 ? std::max(1, std::atoi(argv[2])) : 5;
  const auto dataset = data::open_dataset("fashion-mnist", where);
  std::vector<Contender> contenders{{0, false, {}}, {1, false, {}}, {2, false, {}}, {2, true, {}}, {4, false, {}}};
  if (!give_same_batches(dataset, contenders)) {
    fmt::print(stderr, "the loaders disagree\n");
    return 1;
  }
  std::vector<data::Loader> loaders;
  for (const Contender& contender : contenders) loaders.push_back(make_loader(dataset, contender));
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < loaders.size(); ++i) {
      const double seconds = seconds_of_epoch(loaders[i]);
      contenders[i].images_per_s.push_back(static_cast<double>(dataset->size()) / seconds);
    }
  }
  fmt::print("{}, {} cores usable, {} images, batch 128, crop + flip + normalize, median of {} rounds\n",
             limbeck::core::read_machine().cpu_model, limbeck::core::num_usable_cores(), dataset->size(), rounds);
  for (Contender& contender : contenders) {
    auto& rates = contender.images_per_s;
    std::sort(rates.begin(), rates.end());
    fmt::print("{} workers{}: {:.0f} images/s (from {:.0f} to {:.0f})\n", contender.num_workers,
               contender.channels_last ? ", channels_last" : "", rates[rates.size() / 2], rates.front(), rates.back());
  }
  return 0;
}
