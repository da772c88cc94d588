// The C++ side of bench/optimizer/optimizer_bench.py and of tests/train/optim/torch_peer_test.py: holds parameters and
// one optimizer, and does what it is told.
//
// Commands on standard input, one a line; answers on standard output, one a line:
//   threads N                  -> "ok"
//   parameters FILE LAYOUT     -> "ok": safetensors, in the order of their names; contiguous | channels_last
//   optimizer KEY=VALUE...     -> "ok": over all of them; keys as in set_option, and groups as group=PATTERN,LR
//   gradients FILE             -> "ok": of all parameters, by name
//   train FILE                 -> "ok": a step for each K with gradients "K/NAME" in the file; a missing one is none
//   step N                     -> milliseconds of N steps each, separated by spaces
//   write FILE                 -> "ok": the parameters
//   load_torch FILE, save_torch FILE  -> "ok": the dictionary of a torch.optim optimizer over all parameters
//   bandwidth                  -> GB/s that ATen's a[i] += c · b[i] moves, best of ten over 256 MiB
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>

#include "bench/server.h"
#include "limbeck/core/error.h"
#include "limbeck/graph/weights/state_dict.h"
#include "limbeck/graph/weights/tensors.h"
#include "limbeck/train/optim/optimizer.h"
#include "limbeck/train/optim/torch_optimizer_file.h"

namespace {

using limbeck::train::Optimizer;
using limbeck::train::OptimizerOptions;
using limbeck::weights::NamedTensor;
namespace bench = limbeck::bench;

void set_option(OptimizerOptions& options, const std::string& key, const std::string& value) {
  const std::map<std::string, double*> numbers = {{"lr", &options.lr},
                                                  {"weight_decay", &options.weight_decay},
                                                  {"momentum", &options.momentum},
                                                  {"dampening", &options.dampening},
                                                  {"beta1", &options.beta1},
                                                  {"beta2", &options.beta2},
                                                  {"eps", &options.eps},
                                                  {"lr_decay", &options.adagrad.lr_decay},
                                                  {"initial_accumulator", &options.adagrad.initial_accumulator}};
  const std::map<std::string, bool*> flags = {
      {"nesterov", &options.nesterov}, {"amsgrad", &options.amsgrad}, {"maximize", &options.maximize}};
  if (key == "kind") {
    options.kind = limbeck::train::parse_optimizer(value);
  } else if (key == "group") {
    const std::size_t comma = value.rfind(',');
    options.groups.push_back({.pattern = value.substr(0, comma), .lr = std::stod(value.substr(comma + 1))});
  } else if (numbers.contains(key)) {
    *numbers.at(key) = std::stod(value);
  } else if (flags.contains(key)) {
    *flags.at(key) = value == "True";
  } else {
    limbeck::fail<limbeck::InvalidArgument>("unknown option '{}'", key);
  }
}

class Server {
 public:
  /// One command's answer.
  std::string answer(const std::string& line) {
    std::istringstream words(line);
    std::string command, file;
    words >> command;
    if (command == "optimizer") return make_optimizer(words);
    if (command == "bandwidth") return bandwidth();
    words >> file;
    if (command == "threads") at::set_num_threads(std::stoi(file));
    if (command == "parameters") read_parameters(file, words);
    if (command == "gradients") set_gradients(read(file), "");
    if (command == "train") train(read(file));
    if (command == "step") return steps(std::stoi(file));
    if (command == "write") limbeck::weights::write_tensors(file, detached());
    if (command == "load_torch") limbeck::train::load_torch_optimizer(file, *optimizer_, {.parameter_order = order()});
    if (command == "save_torch") limbeck::train::save_torch_optimizer(file, *optimizer_, order(), detached());
    return "ok";
  }

 private:
  using Tensors = std::map<std::string, at::Tensor>;

  static Tensors read(const std::string& path) {
    Tensors result;
    for (const NamedTensor& entry : limbeck::weights::load_state_dict(path, {.strip_prefixes = false}).tensors)
      result.emplace(entry.name, entry.tensor);
    return result;
  }

  void read_parameters(const std::string& path, std::istream& words) {
    std::string layout;
    words >> layout;
    parameters_.clear();
    for (const auto& [name, tensor] : read(path)) {
      const bool is_image = layout == "channels_last" && tensor.dim() == 4;
      const at::Tensor own = tensor.clone(is_image ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
      parameters_.push_back({name, own.set_requires_grad(true)});
    }
  }

  std::string make_optimizer(std::istream& words) {
    OptimizerOptions options{.momentum = 0};
    for (std::string word; words >> word;) {
      const std::size_t equal = word.find('=');
      set_option(options, word.substr(0, equal), word.substr(equal + 1));
    }
    optimizer_.emplace(parameters_, options);
    return "ok";
  }

  void set_gradients(const Tensors& gradients, const std::string& prefix) {
    for (const NamedTensor& parameter : parameters_) {
      const auto found = gradients.find(prefix + parameter.name);
      parameter.tensor.mutable_grad() =
          found == gradients.end() ? at::Tensor() : at::empty_like(parameter.tensor.detach()).copy_(found->second);
    }
  }

  void train(const Tensors& gradients) {
    const auto has_step = [&](int step) {
      const auto first = gradients.lower_bound(std::to_string(step) + "/");
      return first != gradients.end() && first->first.starts_with(std::to_string(step) + "/");
    };
    for (int step = 0; has_step(step); ++step) {
      set_gradients(gradients, std::to_string(step) + "/");
      optimizer_->step();
    }
  }

  std::string steps(int count) {
    return bench::time_rounds(count, [this] { optimizer_->step(); });
  }

  std::vector<NamedTensor> detached() const {
    std::vector<NamedTensor> result;
    for (const NamedTensor& parameter : parameters_) result.push_back({parameter.name, parameter.tensor.detach()});
    return result;
  }

  std::vector<std::string> order() const {
    std::vector<std::string> result;
    for (const NamedTensor& parameter : parameters_) result.push_back(parameter.name);
    return result;
  }

  static std::string bandwidth() {
    constexpr int64_t kElements = int64_t{32} << 20;
    const at::NoGradGuard no_grad;
    const at::Tensor a = at::ones({kElements}), b = at::ones({kElements});
    double best_ms = 1e9;
    for (int i = 0; i < 10; ++i) {
      const bench::Clock::time_point start = bench::Clock::now();
      a.add_(b, 0.5);
      best_ms = std::min(best_ms, bench::milliseconds_since(start));
    }
    return std::to_string(3.0 * sizeof(float) * kElements / best_ms / 1e6);
  }

  std::vector<NamedTensor> parameters_;
  std::optional<Optimizer> optimizer_;
};

}  // namespace

int main() {
  Server server;
  return bench::serve([&](const std::string& line) { return server.answer(line); });
}
