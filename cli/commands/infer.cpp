#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/topk.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/image_inputs.h"
#include "cli/preparation.h"
#include "cli/type_text.h"
#include "limbeck/core/error.h"
#include "limbeck/core/format.h"
#include "limbeck/core/machine.h"
#include "limbeck/core/table.h"
#include "limbeck/core/utf8.h"
#include "limbeck/data/preprocessing.h"
#include "limbeck/graph/weights/tensors.h"
#include "limbeck/load/load.h"
#include "limbeck/load/random_weights.h"
#include "limbeck/model/device.h"
#include "limbeck/model/inputs.h"
#include "limbeck/model/modes.h"

namespace limbeck::cli {

namespace {

using core::Json;
using core::JsonView;

constexpr std::string_view kTensorsSuffix = ".safetensors";
/// Images that run at once where the model's batch is free.
constexpr int64_t kMaxBatch = 32;
/// Metadata key of the images that the rows of the outputs are of, a JSON array of their paths.
constexpr const char* kRowsKey = "rows";

/// An image that cannot be read, and why.
struct Unread {
  std::string image;
  std::string reason;
};

/// What came out, and the classes that it means where the model classifies.
struct Results {
  std::vector<std::string> samples;  // what each row of the logits is of
  std::vector<NamedTensor> outputs;
  at::Tensor logits;             // float [samples, classes]; undefined where the model gives none
  std::vector<Unread> unread{};  // images that were skipped
  core::Metadata metadata{};     // of a file with the outputs
};

/// How many images go into one run: the first axis of the model's input where it is fixed.
int64_t batch_size(const graph::Graph& graph) {
  for (const graph::InputSpec& input : graph.inputs) {
    const graph::TensorType* type = input.type.tensor();
    if (type == nullptr || !type->sizes || type->sizes->empty()) continue;
    return type->sizes->front().constant().value_or(kMaxBatch);
  }
  return kMaxBatch;
}

/// The tensors that the model gave, on the CPU; outputs that are None or numbers are left out.
std::vector<NamedTensor> tensors_of(const Outputs& outputs) {
  std::vector<NamedTensor> tensors;
  for (const NamedTensor& output : outputs.tensors) {
    if (output.tensor.defined()) tensors.push_back({output.name, output.tensor.cpu()});
  }
  return tensors;
}

/// Joins the outputs of several runs along the batch.
class OutputJoiner {
 public:
  void add(const std::vector<NamedTensor>& outputs, int64_t num_samples) {
    parts_.resize(outputs.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const at::Tensor& tensor = outputs[i].tensor;
      has_batch_ = has_batch_ && tensor.dim() > 0 && tensor.size(0) == num_samples;
      parts_[i].name = outputs[i].name;
      parts_[i].tensors.push_back(tensor);
    }
  }

  std::vector<NamedTensor> take() const {
    std::vector<NamedTensor> joined;
    for (const Part& part : parts_) {
      if (part.tensors.size() == 1) {
        joined.push_back({part.name, part.tensors.front()});
        continue;
      }
      if (!has_batch_) {
        fail<Unsupported>("[infer] output '{}' has no batch axis, so several runs cannot be joined. Pass fewer images.",
                          part.name);
      }
      joined.push_back({part.name, at::cat(part.tensors)});
    }
    return joined;
  }

 private:
  struct Part {
    std::string name;
    std::vector<at::Tensor> tensors;
  };
  std::vector<Part> parts_;
  bool has_batch_ = true;
};

/// [samples, classes] from the output that classifies, else undefined.
at::Tensor logits_of(const std::vector<NamedTensor>& outputs) {
  Outputs all;
  all.tensors = outputs;
  if (outputs.empty()) return {};
  const at::Tensor& logits = all.logits();
  const bool classifies = logits.dim() == 2 && logits.is_floating_point() && logits.size(1) > 0;
  return classifies ? logits.to(at::kFloat) : at::Tensor();
}

/// Reads images in order, as the user says of those that cannot be.
class ImageReader {
 public:
  ImageReader(const InferArguments& arguments, const data::Preprocessing& preprocessing)
      : preprocessing_(preprocessing),
        images_(with_folders_listed(arguments.inputs)),
        skips_(arguments.on_error == "skip") {}

  /// The next `count` that can be read, or fewer at the end.
  std::vector<at::Tensor> next(int64_t count) {
    std::vector<at::Tensor> images;
    for (; place_ < images_.size() && std::cmp_less(images.size(), count); ++place_) {
      try {
        images.push_back(data::prepare_image(images_[place_], preprocessing_));
        read_.push_back(images_[place_]);
      } catch (const IoError& error) {
        if (!skips_) throw;
        unread_.push_back({images_[place_], error.what()});
      }
    }
    return images;
  }

  const std::vector<std::string>& read() const { return read_; }
  const std::vector<Unread>& unread() const { return unread_; }

 private:
  const data::Preprocessing& preprocessing_;
  std::vector<std::string> images_, read_;
  std::vector<Unread> unread_;
  std::size_t place_ = 0;
  bool skips_;
};

/// The images by row; a name that is no UTF-8, which JSON cannot hold, with its bytes escaped as in messages.
Json rows_json(const std::vector<std::string>& images) {
  Json::Array rows;
  for (const std::string& image : images)
    rows.emplace_back(core::is_utf8(image) ? image : core::printable(image, image.size()));
  return Json(std::move(rows));
}

Results run_on_images(Model& model, const InferArguments& arguments) {
  const data::Preprocessing preprocessing = prepare_by(arguments.preparation, model.graph(), arguments.model);
  ImageReader reader(arguments, preprocessing);
  const int64_t step = batch_size(model.graph());
  OutputJoiner joiner;
  for (auto images = reader.next(step); !images.empty(); images = reader.next(step)) {
    joiner.add(tensors_of(model.forward(at::stack(images).to(device_of(model)))), static_cast<int64_t>(images.size()));
  }
  if (reader.read().empty()) {
    fail<IoError>("[infer] none of the {} images can be read; the first: {}", reader.unread().size(),
                  reader.unread().front().reason);
  }
  Results results{.samples = reader.read(), .outputs = joiner.take(), .logits = {}, .unread = reader.unread()};
  results.metadata.emplace(kRowsKey, rows_json(results.samples).dump());
  results.logits = logits_of(results.outputs);
  return results;
}

/// By name where a tensor has an input's name, else by position in the file.
Inputs match_inputs(const graph::Graph& graph, std::vector<NamedTensor> tensors) {
  const bool has_names = std::any_of(tensors.begin(), tensors.end(), [&](const NamedTensor& tensor) {
    return std::any_of(graph.inputs.begin(), graph.inputs.end(),
                       [&](const graph::InputSpec& input) { return input.name == tensor.name; });
  });
  if (!has_names) {
    for (NamedTensor& tensor : tensors) tensor.name.clear();
  }
  return Inputs(std::move(tensors));
}

Results run_on_tensors(Model& model, const std::string& path) {
  const core::SafetensorsFile file = core::SafetensorsFile::open(path);
  Results results;
  std::vector<NamedTensor> tensors = weights::read_tensors(file);
  for (NamedTensor& tensor : tensors) tensor.tensor = tensor.tensor.to(device_of(model));
  results.outputs = tensors_of(model.forward(match_inputs(model.graph(), std::move(tensors))));
  results.logits = logits_of(results.outputs);
  const int64_t samples = results.logits.defined() ? results.logits.size(0) : 0;
  for (int64_t i = 0; i < samples; ++i) results.samples.push_back(fmt::format("sample {}", i));
  return results;
}

struct Guess {
  int64_t index;
  std::string label;
  double probability;

  std::string name() const { return label.empty() ? fmt::format("class {}", index) : label; }
};

/// The `top` likeliest classes of one row of logits, best first.
std::vector<Guess> best_classes(const at::Tensor& row, int64_t top, const std::vector<std::string>& labels) {
  const auto [probabilities, indices] = at::topk(at::softmax(row, 0), std::min(top, row.size(0)));
  std::vector<Guess> guesses;
  for (int64_t i = 0; i < indices.size(0); ++i) {
    const auto index = indices[i].item<int64_t>();
    const bool has_label = static_cast<std::size_t>(index) < labels.size();
    guesses.push_back({.index = index,
                       .label = has_label ? labels[static_cast<std::size_t>(index)] : std::string(),
                       .probability = probabilities[i].item<double>()});
  }
  return guesses;
}

Json classes_json(const Results& results, int64_t top, const std::vector<std::string>& labels) {
  Json::Array samples;
  for (std::size_t i = 0; i < results.samples.size() && results.logits.defined(); ++i) {
    Json::Array classes;
    for (const Guess& guess : best_classes(results.logits[static_cast<int64_t>(i)], top, labels)) {
      classes.push_back(Json::object({{"class", guess.index},
                                      {"label", guess.label.empty() ? Json(nullptr) : Json(guess.label)},
                                      {"probability", Json::number(guess.probability)}}));
    }
    samples.push_back(Json::object({{"input", results.samples[i]}, {"classes", Json(std::move(classes))}}));
  }
  return Json(std::move(samples));
}

std::string classes_text(const Results& results, int64_t top, const std::vector<std::string>& labels) {
  std::string text;
  for (std::size_t i = 0; i < results.samples.size(); ++i) {
    text += results.samples[i] + "\n";
    for (const Guess& guess : best_classes(results.logits[static_cast<int64_t>(i)], top, labels)) {
      text += fmt::format("  {:>8}  {}\n", core::format_percent(guess.probability), guess.name());
    }
  }
  return text;
}

std::string outputs_text(const std::vector<NamedTensor>& outputs) {
  using core::Table;
  Table table({{"output", Table::Align::left}, {"shape", Table::Align::left}});
  for (const NamedTensor& output : outputs)
    table.add_row({output.name, type_text(graph::Type{graph::type_of_tensor(output.tensor)})});
  return table.text(terminal_width());
}

/// Several inputs beside each other.
std::string classes_table(const Results& results, int64_t top, const std::vector<std::string>& labels) {
  using core::Table;
  Table table({{"input", Table::Align::left}, {"class", Table::Align::left}, {"probability"}});
  for (std::size_t i = 0; i < results.samples.size(); ++i) {
    std::string image = results.samples[i];
    for (const Guess& guess : best_classes(results.logits[static_cast<int64_t>(i)], top, labels)) {
      table.add_row({std::exchange(image, ""), guess.name(), core::format_percent(guess.probability)});
    }
  }
  return table.text(terminal_width());
}

std::string answer_text(const Results& results, int64_t top, const std::vector<std::string>& labels) {
  if (!results.logits.defined()) return outputs_text(results.outputs);
  return results.samples.size() > 1 ? classes_table(results, top, labels) : classes_text(results, top, labels);
}

Json unread_json(const std::vector<Unread>& unread) {
  Json::Array images;
  for (const Unread& one : unread) images.push_back(Json::object({{"input", one.image}, {"reason", one.reason}}));
  return Json(std::move(images));
}

Json outputs_json(const std::vector<NamedTensor>& outputs) {
  Json::Array array;
  for (const NamedTensor& output : outputs) {
    array.push_back(Json::object({{"name", output.name},
                                  {"dtype", c10::toString(output.tensor.scalar_type())},
                                  {"shape", Json::array(output.tensor.sizes())}}));
  }
  return Json(std::move(array));
}

std::vector<std::string> notes_on(const InferArguments& arguments) {
  if (!has_random_weights(arguments.model)) return {};
  return {fmt::format("{}: {}", arguments.model, kRandomWeightsNote)};
}

void show(const Results& results, const InferArguments& arguments, const std::vector<std::string>& labels) {
  const std::vector<std::string> notes = notes_on(arguments);
  Console console(arguments.output);
  for (const std::string& note : notes) console.note(note);
  for (const Unread& one : results.unread) console.note("left out: " + one.reason);
  if (!results.unread.empty())
    console.note(fmt::format("{} of {} images could not be read and were left out", results.unread.size(),
                             results.unread.size() + results.samples.size()));
  if (arguments.output.json) {
    print(Json::object({{"results", classes_json(results, arguments.top, labels)},
                        {"outputs", outputs_json(results.outputs)},
                        {"notes", Json::array(notes)},
                        {"skipped", unread_json(results.unread)},
                        {"output_file", arguments.output_file.empty() ? Json(nullptr) : Json(arguments.output_file)}}));
    return;
  }
  print(answer_text(results, arguments.top, labels));
  if (!arguments.output_file.empty())
    print(fmt::format("Wrote {} output{} to {}\n", results.outputs.size(), results.outputs.size() == 1 ? "" : "s",
                      arguments.output_file));
}

bool is_tensors_file(const std::string& path) { return path.ends_with(kTensorsSuffix); }

/// Outputs that are parts of one tensor, such as the halves of a split, each with memory of its own.
std::vector<NamedTensor> owning(std::vector<NamedTensor> outputs) {
  for (NamedTensor& output : outputs) {
    if (output.tensor.storage().nbytes() != output.tensor.nbytes()) output.tensor = output.tensor.clone();
  }
  return outputs;
}

}  // namespace

int run_command(const InferArguments& arguments) {
  const bool has_tensors = std::any_of(arguments.inputs.begin(), arguments.inputs.end(), is_tensors_file);
  if (has_tensors && arguments.inputs.size() > 1) {
    fmt::print(stderr, "limbeck: --input takes either images or one .safetensors file\n");
    return kWrongUsage;
  }
  at::set_num_threads(core::num_usable_cores());
  const at::Device device = parse_device(arguments.device);
  const at::NoGradGuard no_grad;
  Model model = load(arguments.model);
  model.to(device);
  model.accept_assumptions(parse_modes(arguments.accept));
  const Results results =
      has_tensors ? run_on_tensors(model, arguments.inputs.front()) : run_on_images(model, arguments);
  if (!arguments.output_file.empty()) {
    weights::write_tensors(arguments.output_file, owning(results.outputs), results.metadata);
  }
  show(results, arguments, own_labels(model.graph()));
  return kDone;
}

}  // namespace limbeck::cli
