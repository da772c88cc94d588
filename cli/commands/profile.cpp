#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "cli/commands.h"
#include "cli/console.h"
#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/format.h"
#include "limbeck/core/machine.h"
#include "limbeck/core/table.h"
#include "limbeck/graph/passes/reference_run.h"
#include "limbeck/load/load.h"
#include "limbeck/load/random_weights.h"
#include "limbeck/measure/latency.h"
#include "limbeck/measure/memory.h"
#include "limbeck/measure/profile.h"
#include "limbeck/model/device.h"
#include "limbeck/model/modes.h"
#include "limbeck/report/comparison.h"

namespace limbeck::cli {

namespace {

using core::Json;
using OptionalBytes = std::optional<std::uint64_t>;

/// Private memory of this process at three moments; nothing where the kernel does not say.
struct MemoryUse {
  OptionalBytes before_load, after_load, after_runs;
};

struct Findings {
  measure::Profile profile;
  std::optional<measure::LatencyResult> latency;
  MemoryUse memory;
  std::optional<std::uint64_t> file_bytes;
  int threads = 1;
  bool has_random_weights = false;
};

/// Symbols on the batch axis of an input are `batch`, others the smallest that the model takes.
graph::Bindings bindings_for(const graph::Graph& graph, int64_t batch) {
  graph::Bindings bindings;
  for (const graph::Range& range : graph.ranges) bindings[range.symbol] = std::max<int64_t>(range.min, 1);
  for (const graph::InputSpec& input : graph.inputs) {
    const graph::TensorType* type = input.type.tensor();
    if (type == nullptr || !type->sizes) continue;
    for (const graph::IntExpr& size : *type->sizes) {
      for (const std::string& symbol : size.symbols()) bindings.emplace(symbol, 1);
    }
    if (type->sizes->empty()) continue;
    if (const auto symbol = type->sizes->front().symbol_name()) bindings[*symbol] = batch;
    const auto fixed = type->sizes->front().constant();
    LIMBECK_CHECK(!fixed || *fixed == batch || type->sizes->size() == 1,
                  "[profile] the first axis of input '{}' is fixed at {}: use --batch {}", input.name, *fixed, *fixed);
  }
  return bindings;
}

Inputs random_inputs(const graph::Graph& graph, int64_t batch, at::Device device) {
  std::vector<NamedTensor> inputs;
  for (const at::Tensor& tensor : passes::random_inputs(graph, bindings_for(graph, batch), /*seed=*/1))
    inputs.push_back({"", tensor.to(device)});
  return Inputs(std::move(inputs));
}

measure::LatencyResult measure_latency(Model& model, const ProfileArguments& arguments) {
  const at::NoGradGuard no_grad;
  const at::Device device = device_of(model);
  const Inputs inputs = random_inputs(model.graph(), arguments.batch, device);
  const auto runs = static_cast<int>(arguments.runs);
  const auto call = [&] {
    model.forward(inputs);
    wait_for(device);
  };
  const measure::Candidate candidate{.name = arguments.model, .call = call, .items_per_call = arguments.batch};
  Console console(arguments.output);
  const auto tell = [&](int64_t done, int64_t all) { console.count("timing calls", done, all); };
  const std::vector<measure::LatencyResult> results = measure::measure_latency(
      std::span(&candidate, 1),
      {.warmup_calls = 10, .min_seconds = 0, .min_calls = runs, .max_calls = runs, .on_progress = tell});
  console.clear();
  return results.front();
}

Findings find_out(const ProfileArguments& arguments) {
  Findings findings;
  at::set_num_threads(arguments.threads > 0 ? static_cast<int>(arguments.threads) : core::num_usable_cores());
  findings.threads = at::get_num_threads();
  const at::Device device = parse_device(arguments.device);
  findings.memory.before_load = measure::private_memory_bytes();
  Model model = load(arguments.model);
  model.to(device);
  model.accept_assumptions(parse_modes(arguments.accept));
  findings.memory.after_load = measure::private_memory_bytes();
  findings.profile = measure::profile(model);
  if (arguments.runs > 0) findings.latency = measure_latency(model, arguments);
  findings.memory.after_runs = measure::private_memory_bytes();
  if (std::filesystem::is_regular_file(arguments.model)) findings.file_bytes = core::file_size(arguments.model);
  findings.has_random_weights = has_random_weights(arguments.model);
  return findings;
}

int64_t depth_of(const std::string& scope) {
  return scope.empty() ? 0 : 1 + std::count(scope.begin(), scope.end(), '.');
}

std::string scope_table(const measure::Profile& profile, int64_t depth) {
  using core::Table;
  Table table(
      {{"scope", Table::Align::left}, {"type", Table::Align::left}, {"parameters"}, {"MACs"}, {"share of MACs"}});
  for (const measure::ScopeCost& cost : profile.scopes) {
    if (depth_of(cost.scope) > depth) continue;
    const double share = profile.macs > 0 ? static_cast<double>(cost.macs) / static_cast<double>(profile.macs) : 0;
    table.add_row({cost.scope.empty() ? "(model)" : cost.scope, cost.type.substr(cost.type.rfind('.') + 1),
                   core::format_thousands(cost.parameters), core::format_si(static_cast<double>(cost.macs)),
                   core::format_percent(share, 1)});
  }
  return table.text(terminal_width());
}

std::string bytes_text(const OptionalBytes& bytes) { return bytes ? core::format_bytes(*bytes) : "not available"; }

std::string memory_text(const MemoryUse& memory) {
  return fmt::format("{} before load, {} after, {} after running", bytes_text(memory.before_load),
                     bytes_text(memory.after_load), bytes_text(memory.after_runs));
}

std::string latency_text(const measure::LatencyResult& latency, const ProfileArguments& arguments, int threads) {
  return fmt::format(
      "  latency     p50 {}, p90 {}, p99 {}\n  throughput  {:.1f} samples/s\n"
      "              batch {}, {} calls, {} thread{}, {}\n",
      core::format_duration(latency.p50_ms / 1000), core::format_duration(latency.p90_ms / 1000),
      core::format_duration(latency.p99_ms / 1000), latency.items_per_s, arguments.batch, latency.num_calls, threads,
      threads == 1 ? "" : "s", arguments.device);
}

std::string to_text(const Findings& findings, const ProfileArguments& arguments) {
  const measure::Profile& profile = findings.profile;
  std::string text = fmt::format("{}\n", arguments.model);
  text += fmt::format("  parameters  {} ({}), buffers {} ({})\n", core::format_thousands(profile.parameters),
                      core::format_bytes(static_cast<uint64_t>(profile.parameter_bytes)),
                      core::format_thousands(profile.buffers),
                      core::format_bytes(static_cast<uint64_t>(profile.buffer_bytes)));
  text += fmt::format("  MACs        {} {} ({})\n", core::format_si(static_cast<double>(profile.macs)),
                      profile.is_per_sample ? "a sample" : "a call at its fixed sizes",
                      core::format_thousands(profile.macs));
  if (findings.file_bytes) text += fmt::format("  file        {}\n", core::format_bytes(*findings.file_bytes));
  if (findings.latency) text += latency_text(*findings.latency, arguments, findings.threads);
  text += fmt::format("  memory      {}\n", memory_text(findings.memory));
  if (findings.has_random_weights) text += "  weights     random, as a zoo name brings none: its costs are the same\n";
  return text + "\n" + scope_table(profile, arguments.depth);
}

Json to_json(const OptionalBytes& bytes) { return bytes ? Json(*bytes) : Json(nullptr); }

Json to_json(const Findings& findings, const ProfileArguments& arguments) {
  const measure::Profile& profile = findings.profile;
  Json::Array scopes;
  for (const measure::ScopeCost& cost : profile.scopes) {
    if (depth_of(cost.scope) > arguments.depth) continue;
    scopes.push_back(Json::object(
        {{"scope", cost.scope}, {"type", cost.type}, {"parameters", cost.parameters}, {"macs", cost.macs}}));
  }
  return Json::object({{"model", arguments.model},
                       {"parameters", profile.parameters},
                       {"parameter_bytes", profile.parameter_bytes},
                       {"buffers", profile.buffers},
                       {"buffer_bytes", profile.buffer_bytes},
                       {"macs", profile.macs},
                       {"macs_per", profile.is_per_sample ? "sample" : "call"},
                       {"file_bytes", to_json(findings.file_bytes)},
                       {"batch", arguments.batch},
                       {"threads", findings.threads},
                       {"device", arguments.device},
                       {"latency", findings.latency ? report::to_json(*findings.latency) : Json(nullptr)},
                       {"private_memory_bytes", Json::object({{"before_load", to_json(findings.memory.before_load)},
                                                              {"after_load", to_json(findings.memory.after_load)},
                                                              {"after_runs", to_json(findings.memory.after_runs)}})},
                       {"random_weights", findings.has_random_weights},
                       {"scopes", Json(std::move(scopes))}});
}

}  // namespace

int run_command(const ProfileArguments& arguments) {
  const Findings findings = find_out(arguments);
  if (arguments.output.json) {
    print(to_json(findings, arguments));
  } else {
    print(to_text(findings, arguments));
  }
  return kDone;
}

}  // namespace limbeck::cli
