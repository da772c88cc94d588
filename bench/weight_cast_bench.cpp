// What keeping low-precision weights saves: a training step of ResNet-18 in bfloat16 from four micro-batches of 8
// images of 112x112, and the forward passes of a frozen teacher over the same four, with autocast alone and with
// WeightCache, in turns. Both give the same bits, which is checked first.
//   weight_cast_bench [ROUNDS]
#include "limbeck/core/machine.h"
#include "limbeck/model/model.h"
#include "limbeck/model/precision/weight_cache.h"
#include "limbeck/train/losses.h"
#include "limbeck/train/optim/optimizer.h"
#include "limbeck/zoo/zoo.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <vector>

namespace {

using limbeck::Model;
using limbeck::WeightCache;

constexpr int kMicroBatches = 4;

struct Contender {
  Model model;
  std::optional<WeightCache> cache;
  limbeck::train::Optimizer optimizer;
  std::vector<double> step_ms{}, teacher_ms{};

  Contender(const Model& original, std::optional<WeightCache> kept)
      : model(original.clone()),
        cache(std::move(kept)),
        optimizer(model.named_parameters(), {.lr = 1e-3, .momentum = 0.9}) {
    model.train();
  }

  at::Tensor forward(const at::Tensor& x) {
    const limbeck::Autocast autocast(at::kBFloat16);
    std::optional<limbeck::WeightCacheScope> scope;
    if (cache) scope.emplace(*cache);
    return model.forward(x, {.fusion = limbeck::Fusion::training}).logits();
  }

  void step(const at::Tensor& x, const at::Tensor& y) {
    for (int i = 0; i < kMicroBatches; ++i)
      (limbeck::train::cross_entropy(forward(x), y, 0) / kMicroBatches).backward();
    for (const auto& parameter : optimizer.parameters()) {
      if (cache) cache->forget(parameter.tensor);
    }
    optimizer.step();
    optimizer.zero_grad();
  }

  void teach(const at::Tensor& x) {
    const at::NoGradGuard no_grad;
    for (int i = 0; i < kMicroBatches; ++i) forward(x);
  }
};

template <class Work>
void time_into(std::vector<double>& times_ms, const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  times_ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

bool have_equal_weights(const Model& a, const Model& b) {
  const auto of_a = a.parameters(), of_b = b.parameters();
  return std::equal(of_a.begin(), of_a.end(), of_b.begin(), [](const auto& x, const auto& y) { return x.equal(y); });
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 30;
  at::globalContext().setDeterministicAlgorithms(true, true);
  Model original(limbeck::zoo::make("resnet18", {.image_size = 112}));
  original.to(at::MemoryFormat::ChannelsLast);
  Contender plain(original, std::nullopt), kept(original, WeightCache());
  const at::Tensor x = at::randn({8, 3, 112, 112}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor y = at::arange(8);
  for (Contender* each : {&plain, &kept}) {
    each->step(x, y);
    each->step(x, y);
  }
  if (!have_equal_weights(plain.model, kept.model)) {
    fmt::print(stderr, "the weights differ\n");
    return 1;
  }
  for (int round = 0; round < rounds; ++round) {
    for (Contender* each : {&plain, &kept}) {
      time_into(each->step_ms, [&] { each->step(x, y); });
      time_into(each->teacher_ms, [&] { each->teach(x); });
    }
  }
  fmt::print("{}, {} cores usable, ResNet-18 in bfloat16, 4 times 8 images of 112x112, median of {} rounds\n",
             limbeck::core::read_machine().cpu_model, limbeck::core::num_usable_cores(), rounds);
  fmt::print("step from 4 micro-batches: {:.1f} ms with autocast alone, {:.1f} ms with kept weights, ratio {:.3f}\n",
             median(plain.step_ms), median(kept.step_ms), median(plain.step_ms) / median(kept.step_ms));
  fmt::print("4 runs of a frozen teacher: {:.1f} ms and {:.1f} ms, ratio {:.3f}\n", median(plain.teacher_ms),
             median(kept.teacher_ms), median(plain.teacher_ms) / median(kept.teacher_ms));
  return 0;
}
