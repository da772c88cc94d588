// The C++ side of bench/model_speed/model_speed.py: holds one model and runs rounds of it when told to, so that rounds
// of PyTorch eager and of Limbeck alternate on a machine whose speed drifts.
//
// Commands on standard input, one a line; answers on standard output, one a line:
//   load MODEL WEIGHTS FORMAT DTYPE THREADS   -> "ok": a model that load() takes, a file with its weights,
//                                                contiguous|channels_last, fp32|bf16 (autocast)
//   data FILE                                 -> "ok": safetensors with "x" and "y"
//   check FILE                                -> "ok": writes eval outputs, and outputs, gradients and parameters of
//                                                two training steps; the model is then as before
//   infer N | train N                         -> milliseconds of N runs each, separated by spaces
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/optim/sgd.h>

#include <memory>
#include <optional>
#include <sstream>

#include "bench/server.h"
#include "limbeck/core/error.h"
#include "limbeck/graph/weights/state_dict.h"
#include "limbeck/graph/weights/tensors.h"
#include "limbeck/load/load.h"

namespace {

using limbeck::Model;
using limbeck::weights::NamedTensor;

/// Learning rate and momentum of the training step, as in the Python side.
constexpr double kLearningRate = 0.01, kMomentum = 0.9;

class Server {
 public:
  /// One command's answer.
  std::string answer(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "load") return load(words);
    if (command == "data") return data(words);
    if (command == "check") return check(words);
    if (command == "infer") return rounds(words, [this] { infer(*model_); });
    if (command == "train") return rounds(words, [this] { train_step(*model_, *optimizer_); });
    limbeck::fail<limbeck::InvalidArgument>("unknown command '{}'", line);
  }

 private:
  std::string load(std::istream& words) {
    std::string name, weights, format, dtype;
    int threads = 0;
    words >> name >> weights >> format >> dtype >> threads;
    at::set_num_threads(threads);
    model_ = limbeck::load(name);
    std::vector<limbeck::NamedTensor> tensors;
    for (const NamedTensor& entry : limbeck::weights::load_state_dict(weights).tensors)
      tensors.push_back({entry.name, entry.tensor});
    model_->load_state_dict(tensors);
    memory_format_ = format == "channels_last" ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
    model_->to(memory_format_);
    is_autocast_ = dtype == "bf16";
    optimizer_ = make_optimizer(*model_);
    return "ok";
  }

  std::string data(std::istream& words) {
    std::string path;
    words >> path;
    const limbeck::weights::StateDict file = limbeck::weights::load_state_dict(path);
    x_ = file.find("x")->clone().contiguous(memory_format_);
    y_ = file.find("y")->clone();
    return "ok";
  }

  static std::unique_ptr<torch::optim::SGD> make_optimizer(const Model& model) {
    return std::make_unique<torch::optim::SGD>(model.parameters(),
                                               torch::optim::SGDOptions(kLearningRate).momentum(kMomentum));
  }

  at::Tensor infer(Model& model) {
    if (model.is_training()) model.eval();
    const at::NoGradGuard no_grad;
    std::optional<limbeck::Autocast> autocast;
    if (is_autocast_) autocast.emplace(at::kBFloat16);
    return model(x_);
  }

  at::Tensor train_step(Model& model, torch::optim::SGD& optimizer) {
    if (!model.is_training()) model.train();
    optimizer.zero_grad();
    at::Tensor loss;
    {
      std::optional<limbeck::Autocast> autocast;
      if (is_autocast_) autocast.emplace(at::kBFloat16);
      loss = at::cross_entropy_loss(model(x_), y_);
    }
    loss.backward();
    optimizer.step();
    return loss.detach();
  }

  std::string check(std::istream& words) {
    std::string path;
    words >> path;
    Model copy = model_->clone();
    const auto optimizer = make_optimizer(copy);
    std::vector<NamedTensor> seen = {{"eval", infer(copy).clone()}};
    for (int step = 0; step < 2; ++step) seen.push_back({"loss" + std::to_string(step), train_step(copy, *optimizer)});
    for (const limbeck::NamedTensor& parameter : copy.named_parameters())
      seen.push_back({"gradient." + parameter.name, parameter.tensor.grad().contiguous()});
    for (const limbeck::NamedTensor& entry : copy.state_dict())
      seen.push_back({"state." + entry.name, entry.tensor.detach().contiguous()});
    limbeck::weights::write_tensors(path, seen);
    return "ok";
  }

  template <class Run>
  static std::string rounds(std::istream& words, const Run& run) {
    int count = 0;
    words >> count;
    return limbeck::bench::time_rounds(count, run);
  }

  std::optional<Model> model_;
  std::unique_ptr<torch::optim::SGD> optimizer_;
  at::MemoryFormat memory_format_ = at::MemoryFormat::Contiguous;
  bool is_autocast_ = false;
  at::Tensor x_, y_;
};

}  // namespace

int main() {
  Server server;
  return limbeck::bench::serve([&](const std::string& line) { return server.answer(line); });
}
