#include <ATen/core/Tensor.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <sstream>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/preparation.h"
#include "cli/type_text.h"
#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/format.h"
#include "limbeck/core/table.h"
#include "limbeck/graph/capture/capture.h"
#include "limbeck/load/load.h"
#include "limbeck/measure/profile.h"

namespace limbeck::cli {

namespace {

using core::Json;
using graph::Graph;
using graph::Mode;

/// What was captured, for text and JSON alike.
struct Summary {
  std::string name, source;
  std::vector<std::string> modes, train_outputs, eval_outputs, notes;
  measure::Profile profile;
  std::vector<std::string> inputs{}, assumptions{};
  std::string images{};  // how they are prepared
  std::string batch{};
  bool is_batch_free = false;
};

std::string metadata_of(const Graph& graph, const char* key) {
  const auto found = graph.metadata.find(key);
  return found == graph.metadata.end() ? std::string() : found->second;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> outputs_of(const Graph& graph, Mode mode) {
  std::vector<std::string> outputs;
  for (const graph::Output& output : graph.outputs(mode)) {
    const graph::ValueId* value = output.value.value();
    outputs.push_back(fmt::format("{}: {}", output.name, value ? type_text(graph.type(*value)) : "a constant"));
  }
  return outputs;
}

/// A mode that the source left uncertain runs only once the user accepts what was assumed.
std::vector<std::string> certain_modes(const Graph& graph) {
  std::vector<std::string> modes;
  for (const Mode mode : {Mode::train, Mode::eval}) {
    bool is_certain = true;
    for (const graph::Assumption& assumption : graph.assumptions)
      is_certain = is_certain && !graph::contains(assumption.when, mode);
    if (is_certain) modes.emplace_back(graph::mode_name(mode));
  }
  return modes;
}

const graph::IntExpr* batch_size(const Graph& graph) {
  for (const graph::InputSpec& input : graph.inputs) {
    const graph::TensorType* type = input.type.tensor();
    if (type != nullptr && type->sizes && !type->sizes->empty()) return &type->sizes->front();
  }
  return nullptr;
}

void describe_batch(const Graph& graph, Summary& summary) {
  const graph::IntExpr* size = batch_size(graph);
  const std::string why = metadata_of(graph, graph::kFixedBatchKey);
  summary.is_batch_free = size != nullptr && !size->is_constant();
  if (size == nullptr) {
    summary.batch = "no input has a batch axis";
  } else if (summary.is_batch_free) {
    summary.batch = "free: " + size->to_string();
  } else {
    summary.batch = fmt::format("fixed at {}{}{}", size->to_string(), why.empty() ? "" : ": ", why);
  }
}

Summary summarize(const Model& model) {
  const Graph& graph = model.graph();
  Summary summary{.name = metadata_of(graph, capture::kNameKey),
                  .source = metadata_of(graph, capture::kSourceKey),
                  .modes = certain_modes(graph),
                  .train_outputs = outputs_of(graph, Mode::train),
                  .eval_outputs = outputs_of(graph, Mode::eval),
                  .notes = lines_of(metadata_of(graph, capture::kNotesKey)),
                  .profile = measure::profile(model)};
  for (const graph::InputSpec& input : graph.inputs)
    summary.inputs.push_back(fmt::format("{}: {}", input.name, type_text(input.type)));
  for (const graph::Assumption& assumption : graph.assumptions) {
    const std::string& scope = graph.scope(assumption.scope).path;
    summary.assumptions.push_back(fmt::format("{} mode: {}{}{}", graph::mode_name(assumption.when), scope,
                                              scope.empty() ? "" : ": ", assumption.text));
  }
  const std::string preprocessing = metadata_of(graph, data::kPreprocessingKey);
  if (!preprocessing.empty()) summary.images = data::to_text(data::parse_preprocessing(preprocessing));
  describe_batch(graph, summary);
  return summary;
}

/// The title beside the first line; lines are broken at the terminal's width.
std::string list_text(const char* title, const std::vector<std::string>& lines) {
  constexpr std::size_t kIndent = 15;
  const std::size_t width = std::max<std::size_t>(terminal_width(), 2 * kIndent) - kIndent;
  std::string text;
  for (const std::string& line : lines) {
    for (const std::string& part : core::wrap(line, width))
      text += fmt::format("  {:<12} {}\n", text.empty() ? title : "", part);
  }
  return text;
}

std::string to_text(const Summary& summary) {
  std::string text = list_text("model", {summary.name.empty() ? "(no name)" : summary.name});
  if (!summary.source.empty()) text += list_text("source", {summary.source});
  text += list_text("modes", {fmt::format("{}", fmt::join(summary.modes, " and "))});
  text += list_text("inputs", summary.inputs);
  if (summary.train_outputs == summary.eval_outputs) {
    text += list_text("outputs", summary.eval_outputs);
  } else {
    text += list_text("train gives", summary.train_outputs) + list_text("eval gives", summary.eval_outputs);
  }
  text += list_text("batch", {summary.batch});
  if (!summary.images.empty()) text += list_text("images", {summary.images});
  text +=
      list_text("size", {fmt::format("{} parameters, {} MACs {}", core::format_thousands(summary.profile.parameters),
                                     core::format_si(static_cast<double>(summary.profile.macs)),
                                     summary.profile.is_per_sample ? "a sample" : "a call at its fixed sizes")});
  text += list_text("assumptions", summary.assumptions);
  return text + list_text("notes", summary.notes);
}

Json to_json(const Summary& summary) {
  return Json::object({{"name", summary.name},
                       {"source", summary.source},
                       {"modes", Json::array(summary.modes)},
                       {"inputs", Json::array(summary.inputs)},
                       {"train_outputs", Json::array(summary.train_outputs)},
                       {"eval_outputs", Json::array(summary.eval_outputs)},
                       {"batch", summary.batch},
                       {"is_batch_free", summary.is_batch_free},
                       {"preprocessing", summary.images.empty() ? Json(nullptr) : Json(summary.images)},
                       {"parameters", summary.profile.parameters},
                       {"macs", summary.profile.macs},
                       {"assumptions", Json::array(summary.assumptions)},
                       {"notes", Json::array(summary.notes)}});
}

LoadOptions load_options(const CaptureArguments& arguments) {
  LoadOptions options{
      .train = arguments.train, .capture = {.model = arguments.model_name}, .weights = arguments.weights};
  if (!arguments.mode.empty()) options.capture.mode = arguments.mode == "train" ? Mode::train : Mode::eval;
  return options;
}

/// False, after saying so, for what holds no graph: then the snippet that exports one is the answer.
bool holds_graph(const std::string& source, bool json) {
  try {
    identify_model(source);
    return true;
  } catch (const Unsupported& error) {
    fmt::print(stderr, "limbeck: {}\n", error.what());
    if (!json) print(std::string(capture::python_snippet()));
    return false;
  }
}

/// A .lmb must not replace the export that it is made from.
void refuse_overwriting(const CaptureArguments& arguments) {
  for (const std::string& file : {arguments.source, arguments.train, arguments.weights}) {
    std::error_code missing;
    LIMBECK_CHECK(!std::filesystem::equivalent(file, arguments.output_file, missing) || missing,
                  "[capture] {} is what is read: name another file with -o", arguments.output_file);
  }
}

/// Puts what the flags say of images and classes into the model's metadata.
void describe_images(Model& model, const CaptureArguments& arguments) {
  Graph graph = model.graph();
  if (is_given(arguments.preparation)) {
    graph.metadata[data::kPreprocessingKey] = data::to_json(prepare_by(arguments.preparation, graph, arguments.source));
  }
  if (!arguments.labels.empty()) {
    graph.metadata[graph::kLabelsKey] = Json::array(read_labels(arguments.labels)).dump();
  }
  model.set_graph(std::move(graph));
}

}  // namespace

int run_command(const CaptureArguments& arguments) {
  if (arguments.python) {
    print(std::string(capture::python_snippet()));
    return kDone;
  }
  if (arguments.source.empty() || arguments.output_file.empty()) {
    fmt::print(stderr, "limbeck: name {}, or --python for the snippet that exports a model\n",
               arguments.source.empty() ? "a .pt2 file or zoo:NAME" : "the file to write with -o");
    return kWrongUsage;
  }
  refuse_overwriting(arguments);
  if (!holds_graph(arguments.source, arguments.output.json)) return kFailure;
  Model model = load(arguments.source, load_options(arguments));
  describe_images(model, arguments);
  const Summary summary = summarize(model);
  model.save(arguments.output_file);
  const std::uint64_t bytes = core::file_size(arguments.output_file);
  if (arguments.output.json) {
    Json json = to_json(summary);
    json["output"] = arguments.output_file;
    json["bytes"] = bytes;
    print(json);
  } else {
    print(to_text(summary));
    print(fmt::format("Wrote {} ({})\n", arguments.output_file, core::format_bytes(bytes)));
  }
  return kDone;
}

}  // namespace limbeck::cli
