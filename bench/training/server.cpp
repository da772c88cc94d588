// The C++ side of bench/training/training.py: holds one model with its optimizer and runs training steps when told to.
//
//   training_server MODEL DATA FORMAT DTYPE OPTIMIZER THREADS
//
// MODEL is what load() takes, DATA a safetensors file with "x" and "y", FORMAT contiguous or channels_last, DTYPE fp32
// or bf16 (autocast), OPTIMIZER sgd or adamw. Commands on standard input, one answer a line:
//   losses N   -> the losses of the first N steps of a copy of the model
//   train N    -> milliseconds of N steps each
//   fused      -> what a step fuses
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>

#include "limbeck/core/error.h"
#include "limbeck/graph/weights/state_dict.h"
#include "limbeck/load/load.h"
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
    optimizer_.zero_grad();
    at::Tensor loss;
    {
      std::optional<limbeck::Autocast> autocast;
      if (is_autocast_) autocast.emplace(at::kBFloat16);
      loss = at::cross_entropy_loss(model_.forward(x, run()).logits(), y);
    }
    loss.backward();
    optimizer_.step(1.0);
    return loss.detach();
  }

  std::string fused() const {
    std::ostringstream text;
    for (const auto& [name, count] : model_.fusion_report(run()).fused) text << count << " x " << name << "; ";
    return text.str();
  }

 private:
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
    limbeck::fail<limbeck::InvalidArgument>("[bench] unknown command '{}'. Use losses, train or fused.", line);
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
    std::ostringstream text;
    for (int i = 0; i < count; ++i) {
      const auto start = std::chrono::steady_clock::now();
      trainee_->step(x_, y_);
      text << std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() << ' ';
    }
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
    for (std::string line; std::getline(std::cin, line);) std::cout << server.answer(line) << std::endl;
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
  return 0;
}
