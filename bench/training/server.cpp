// The C++ side of bench/training/training.py: holds one model with its optimizer and runs training steps when told to.
//
//   training_server MODEL DATA FORMAT DTYPE OPTIMIZER THREADS
//
// MODEL is what load() takes, DATA a safetensors file with "x" and "y", FORMAT contiguous or channels_last, DTYPE fp32
// or bf16 (autocast), OPTIMIZER sgd or adamw. Commands on standard input, one answer a line:
//   losses N   -> the losses of the first N steps of a copy of the model
//   train N    -> milliseconds of N steps each
//   fused      -> what a step fuses
//   profile N  -> milliseconds a step by kind of work, "KIND MS; KIND MS", from N steps
//   names N    -> the same by op and backward function, the dearest thirty
//   macs       -> multiply-adds of a batch's forward pass in 1e9, then the machine's best a second in float32 and in
//   bfloat16
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "bench/server.h"
#include "bench/training/machine_peak.h"
#include "bench/training/step_profile.h"
#include "limbeck/core/error.h"
#include "limbeck/graph/weights/state_dict.h"
#include "limbeck/load/load.h"
#include "limbeck/measure/profile.h"
#include "limbeck/model/caching_allocator.h"
#include "limbeck/train/optim/optimizer.h"

namespace {

using limbeck::Model;
using limbeck::train::Optimizer;

struct Options {
  std::string model, data, format, dtype, optimizer;
  int threads = 2;
};

Options parse(int count, char** words) {
  LIMBECK_CHECK(count == 7, "[bench] six arguments are needed, got {}. See the head of the source.", count - 1);
  return {words[1], words[2], words[3], words[4], words[5], std::stoi(words[6])};
}

/// A model in train mode with its optimizer. Learning rates are those of training.py.
class Trainee {
 public:
  Trainee(Model model, const Options& options)
      : model_(std::move(model)),
        optimizer_(model_.named_parameters(), settings(options)),
        is_autocast_(options.dtype == "bf16") {
    model_.accept_assumptions(limbeck::graph::Mode::train);  // the export was made in train mode
    model_.train();
  }

  at::Tensor step(const at::Tensor& x, const at::Tensor& y) {
    RECORD_USER_SCOPE("step");
    optimizer_.zero_grad();
    at::Tensor loss;
    {
      std::optional<limbeck::Autocast> autocast;
      if (is_autocast_) autocast.emplace(at::kBFloat16);
      loss = at::cross_entropy_loss(model_.forward(x, run()).logits(), y);
    }
    loss.backward();
    update();
    return loss.detach();
  }

  std::string fused() const {
    std::ostringstream text;
    for (const auto& [name, count] : model_.fusion_report(run()).fused) text << count << " x " << name << "; ";
    return text.str();
  }

 private:
  void update() {
    RECORD_USER_SCOPE("optimizer");
    optimizer_.step(1.0);
  }

  static limbeck::RunOptions run() { return {.fusion = limbeck::Fusion::training}; }

  static limbeck::train::OptimizerOptions settings(const Options& options) {
    const bool is_sgd = options.optimizer == "sgd";
    return {.kind = limbeck::train::parse_optimizer(options.optimizer),
            .lr = is_sgd ? 0.01 : 1e-4,
            .weight_decay = is_sgd ? 0.0 : 0.01,
            .momentum = is_sgd ? 0.9 : 0.0};
  }

  Model model_;
  Optimizer optimizer_;
  bool is_autocast_;
};

class Server {
 public:
  explicit Server(const Options& options) : options_(options), model_(limbeck::load(options.model)) {
    const auto format =
        options.format == "channels_last" ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
    const limbeck::weights::StateDict file = limbeck::weights::load_state_dict(options.data);
    x_ = file.find("x")->clone().contiguous(format);
    y_ = file.find("y")->clone();
    model_.to(format);
    trainee_.emplace(model_.clone(), options);
  }

  std::string answer(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    int count = 0;
    words >> command >> count;
    if (command == "losses") return losses(count);
    if (command == "train") return times(count);
    if (command == "fused") return trainee_->fused();
    if (command == "profile") return profile(count, &limbeck::bench::StepProfile::kinds);
    if (command == "names") return profile(count, &limbeck::bench::StepProfile::names);
    if (command == "macs") return macs();
    limbeck::fail<limbeck::InvalidArgument>(
        "[bench] unknown command '{}'. Use losses, train, fused, profile, names or macs.", line);
  }

 private:
  std::string losses(int count) {
    Trainee fresh(model_.clone(), options_);
    std::ostringstream text;
    text.precision(9);
    for (int i = 0; i < count; ++i) text << fresh.step(x_, y_).item<double>() << ' ';
    return text.str();
  }

  std::string times(int count) {
    return limbeck::bench::time_rounds(count, [this] { trainee_->step(x_, y_); });
  }

  template <class Times>
  std::string profile(int count, Times times_of) {
    const limbeck::bench::StepProfile profile;
    for (int i = 0; i < count; ++i) trainee_->step(x_, y_);
    std::vector<std::pair<double, std::string>> sorted;
    for (const auto& [name, ms] : (profile.*times_of)()) sorted.emplace_back(ms / count, name);
    std::sort(sorted.rbegin(), sorted.rend());
    sorted.resize(std::min<std::size_t>(sorted.size(), 30));
    std::ostringstream text;
    for (const auto& [ms, name] : sorted) text << name << ' ' << ms << "; ";
    return text.str();
  }

  std::string macs() const {
    const limbeck::measure::Profile profile = limbeck::measure::profile(model_);
    const int64_t samples = profile.is_per_sample ? x_.size(0) : 1;
    std::ostringstream text;
    text << static_cast<double>(profile.macs * samples) / 1e9 << ' '
         << limbeck::bench::best_rate(limbeck::bench::fma_burst()) << ' '
         << limbeck::bench::best_rate(limbeck::bench::bf16_burst());
    return text.str();
  }

  Options options_;
  Model model_;  // as loaded
  at::Tensor x_, y_;
  std::optional<Trainee> trainee_;
};

}  // namespace

int main(int count, char** words) {
  try {
    const Options options = parse(count, words);
    at::set_num_threads(options.threads);
    const limbeck::CachingAllocatorScope memory;
    Server server(options);
    return limbeck::bench::serve([&](const std::string& line) { return server.answer(line); });
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
}
