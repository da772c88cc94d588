// Where the time of a training step goes: the time that ops and backward functions take, without what they call in
// turn, by kind of work. Ops are seen through the callbacks of ATen's profiler, on the thread that runs the step.
#pragma once

#include <ATen/record_function.h>

#include <array>
#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace limbeck::bench {

/// The kind of work of an op or backward function by its name: the first row that the name contains.
inline std::string_view kind_of_work(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 30> kKinds = {{
      {"evaluate_function", "rest"},
      {"epthwise", "convolution"},
      {"pointwise_conv", "convolution"},
      {"onvolution", "convolution"},
      {"conv2d", "convolution"},
      {"scaled_dot_product", "attention"},
      {"ttention", "attention"},
      {"addmm", "matrix product"},
      {"aten::mm", "matrix product"},
      {"bmm", "matrix product"},
      {"linear", "matrix product"},
      {"norm", "norm"},
      {"Norm", "norm"},
      {"optimizer", "optimizer"},
      {"pool", "pooling"},
      {"aten::copy_", "copies, casts"},
      {"aten::cat", "copies, casts"},
      {"aten::fill_", "copies, casts"},
      {"aten::zero_", "copies, casts"},
      {"Cast", "copies, casts"},
      {"aten::add", "elementwise, sums"},
      {"aten::mul", "elementwise, sums"},
      {"aten::sum", "elementwise, sums"},
      {"aten::mean", "elementwise, sums"},
      {"elu", "elementwise, sums"},
      {"ilu", "elementwise, sums"},
      {"igmoid", "elementwise, sums"},
      {"softmax", "elementwise, sums"},
      {"aten::div", "elementwise, sums"},
      {"aten::sub", "elementwise, sums"},
  }};
  for (const auto& [part, kind] : kKinds) {
    if (name.find(part) != std::string_view::npos) return kind;
  }
  return "rest";
}

/// Collects while it lives, on the thread that made it; one at a time.
class StepProfile {
 public:
  StepProfile() {
    current() = this;
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(&StepProfile::start, &StepProfile::end)
            .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE}));
  }
  ~StepProfile() {
    at::removeCallback(handle_);
    current() = nullptr;
  }
  StepProfile(const StepProfile&) = delete;
  StepProfile& operator=(const StepProfile&) = delete;

  /// Milliseconds by the name of op or backward function.
  const std::map<std::string, double>& names() const { return names_; }

  std::map<std::string_view, double> kinds() const {
    std::map<std::string_view, double> result;
    for (const auto& [name, ms] : names_) result[kind_of_work(name)] += ms;
    return result;
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Open {
    std::string name;
    Clock::time_point begin;
    double inner_ms = 0;
  };

  static StepProfile*& current() {
    static thread_local StepProfile* profile = nullptr;
    return profile;
  }

  static std::unique_ptr<at::ObserverContext> start(const at::RecordFunction& function) {
    if (current() != nullptr) current()->open_.push_back({.name = function.name(), .begin = Clock::now()});
    return nullptr;
  }

  static void end(const at::RecordFunction& /*function*/, at::ObserverContext* /*context*/) {
    if (current() != nullptr && !current()->open_.empty()) current()->close();
  }

  void close() {
    const Open last = std::move(open_.back());
    open_.pop_back();
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - last.begin).count();
    names_[last.name] += ms - last.inner_ms;
    if (!open_.empty()) open_.back().inner_ms += ms;
  }

  at::CallbackHandle handle_{};
  std::vector<Open> open_;
  std::map<std::string, double> names_;
};

}  // namespace limbeck::bench
