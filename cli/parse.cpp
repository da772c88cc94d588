#include "cli/parse.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/flags.h"
#include "limbeck/core/error.h"
#include "limbeck/core/table.h"
#include "limbeck/data/open_dataset.h"
#include "limbeck/model/device.h"
#include "limbeck/recipe/options.h"

namespace limbeck::cli {

namespace {

void add_output(CLI::App& verb, OutputOptions& output) {
  verb.add_flag("--json", output.json, "print the result as JSON");
  verb.add_flag("-q,--quiet", output.quiet, "no progress");
}

void add_run_options(CLI::App& verb, RunOptions& options) {
  verb.add_option("--checkpoint-seconds", options.checkpoint_seconds,
                  "between checkpoints within an epoch; 0: after every step")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
}

void add_accept(CLI::App& verb, std::string& modes) {
  verb.add_option("--accept", modes, "modes to run as they stand although the file does not tell all about them")
      ->check(CLI::IsMember({"none", "train", "eval", "both"}))
      ->capture_default_str();
}

/// What all that compute say of theirs.
constexpr const char* kDeviceHelp = "cpu, cuda, cuda:1 or xpu";

void add_device(CLI::App& verb, std::string& device) {
  const auto refusal = [](const std::string& name) -> std::string {
    try {
      parse_device_name(name);
      return {};
    } catch (const InvalidArgument& error) {
      return error.what();
    }
  };
  verb.add_option("--device", device, kDeviceHelp)->capture_default_str()->check(refusal);
}

/// A flag per field; what was given ends up in `settings` as text, which the recipe's reader checks.
void add_flags(CLI::App& verb, const recipe::Fields::Describe& describe, const std::string& group,
               const std::string& prefix, const std::vector<std::string>& taken, Settings& settings,
               const std::string& path_prefix = "") {
  for (const Flag& flag : flags_of(describe)) {
    if (std::find(taken.begin(), taken.end(), flag.path) != taken.end()) continue;
    CLI::Option* option = verb.add_option_function<std::string>(
        "--" + prefix + flag.path,
        [&settings, path = path_prefix + flag.path](const std::string& text) { settings.emplace_back(path, text); },
        flag.help);
    option->group(group)->type_name("VALUE");
    if (!flag.default_text.empty()) option->default_str(flag.default_text);
  }
}

void add_recipe_setting(CLI::App& verb, StageArguments& arguments, const char* key, const char* help) {
  verb.add_option_function<std::string>(
          std::string("--") + key,
          [&arguments, key](const std::string& text) { arguments.recipe_settings.emplace_back(key, text); }, help)
      ->type_name("VALUE");
}

void add_sweep(CLI::App& verb, std::vector<std::string>& sweeps, const char* help) {
  verb.add_option("--sweep", sweeps, help)->type_name("KEY=VALUE,...")->expected(1)->take_all();
}

/// Several runs of what trains.
void add_trials(CLI::App& verb, StageArguments& arguments) {
  add_recipe_setting(verb, arguments, "seeds", "run it so often, with seed, seed + 1, ...: mean and deviation");
  add_sweep(verb, arguments.sweeps, "run it with each value: --sweep optimizer.lr=0.1,0.05; several make a grid");
}

/// Flags of what happens to a model before it is trained.
void add_model_flags(CLI::App& verb, StageArguments& arguments, const std::string& model) {
  recipe::ModelOptions options;
  add_flags(
      verb, [&](recipe::Fields& f) { recipe::describe(f, options); }, "Model", model + ".",
      {"zoo", "file", "options", "accept"}, arguments.model_settings, model + ".");
}

void add_stage_flags(CLI::App& verb, StageArguments& arguments, const recipe::Fields::Describe& describe,
                     const std::vector<std::string>& positional) {
  add_flags(verb, describe, "Stage", "", positional, arguments.settings);
  recipe::DataOptions data;
  add_flags(
      verb, [&](recipe::Fields& f) { recipe::describe(f, data); }, "Data", "data.", {"dataset"},
      arguments.data_settings);
  for (const auto& [key, help] :
       {std::pair{"seed", "of weights, order, augmentation and dropout"},
        std::pair{"threads", "0: as many as this process may use"}, std::pair{"device", kDeviceHelp}}) {
    add_recipe_setting(verb, arguments, key, help);
  }
  add_accept(verb, arguments.accept);
  add_output(verb, arguments.output);
}

void add_run(CLI::App& app, std::optional<Arguments>& chosen) {
  auto* verb = app.add_subcommand("run", "Run a recipe; finished stages come from their cache");
  auto arguments = std::make_shared<RunArguments>();
  verb->add_option("recipe", arguments->recipe, "YAML file")->required();
  verb->add_option_function<std::vector<std::string>>(
          "--set",
          [arguments](const std::vector<std::string>& settings) {
            for (const std::string& setting : settings) {
              const std::size_t equals = setting.find('=');
              if (equals == std::string::npos)
                throw CLI::ValidationError("--set", "'" + setting + "' is not of the form key=value");
              arguments->settings.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
            }
          },
          "key=value, keys joined by dots: stages.teacher.epochs=1")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  add_sweep(*verb, arguments->sweeps, "run it with each value: --sweep stages.teacher.optimizer.lr=0.1,0.05");
  verb->add_flag("--dry-run", arguments->dry_run, "print shapes, adapters, costs and the plan without training");
  add_run_options(*verb, arguments->run);
  add_output(*verb, arguments->output);
  verb->footer("Example:\n  limbeck run recipes/fashion-mnist.yaml --set stages.teacher.epochs=1");
  verb->callback([arguments, &chosen] { chosen = *arguments; });
}

void add_train(CLI::App& app, std::optional<Arguments>& chosen) {
  auto* verb = app.add_subcommand("train", "Train a model");
  auto arguments = std::make_shared<StageArguments>();
  auto stage = std::make_shared<recipe::TrainStage>();
  arguments->kind = "train";
  arguments->models.resize(1);
  verb->add_option("model", arguments->models[0], "zoo name, .lmb or .pt2")->required();
  verb->add_option("--data", arguments->data, "dataset, such as fashion-mnist")->required();
  verb->add_option("-o,--output", arguments->folder, "folder for results")->required();
  add_stage_flags(*verb, *arguments, [stage](recipe::Fields& f) { recipe::describe(f, *stage); }, {"model", "name"});
  add_model_flags(*verb, *arguments, "model");
  add_trials(*verb, *arguments);
  add_run_options(*verb, arguments->run);
  verb->footer(
      "Example:\n  limbeck train 'resnet_basic?widths=8,16,32&in_channels=1&image_size=28' \\\n"
      "    --data fashion-mnist --epochs 2 --optimizer.lr 0.1 -o runs/small");
  verb->callback([arguments, stage, &chosen] { chosen = *arguments; });
}

void add_distill(CLI::App& app, std::optional<Arguments>& chosen) {
  auto* verb = app.add_subcommand("distill", "Train a student to agree with a teacher");
  auto arguments = std::make_shared<StageArguments>();
  auto stage = std::make_shared<recipe::DistillStage>();
  arguments->kind = "distill";
  arguments->models.resize(2);
  verb->add_option("--student", arguments->models[0], "zoo name, .lmb or .pt2")->required();
  verb->add_option("--teacher", arguments->models[1], "zoo name, .lmb or .pt2")->required();
  verb->add_option("--feature", arguments->features, "feature term student=teacher[:weight], scopes of both models")
      ->type_name("TERM");
  verb->add_option("--data", arguments->data, "dataset, such as fashion-mnist")->required();
  verb->add_option("-o,--output", arguments->folder, "folder for results")->required();
  add_stage_flags(*verb, *arguments, [stage](recipe::Fields& f) { recipe::describe(f, *stage); },
                  {"student", "teacher", "name"});
  for (const char* model : {"student", "teacher"}) add_model_flags(*verb, *arguments, model);
  add_trials(*verb, *arguments);
  add_run_options(*verb, arguments->run);
  verb->footer(
      "Example:\n  limbeck distill --student student.pt2 --teacher teacher.lmb \\\n"
      "    --feature layer3=layer3:10 --data fashion-mnist --epochs 5 -o runs/distilled");
  verb->callback([arguments, stage, &chosen] { chosen = *arguments; });
}

void add_evaluate(CLI::App& app, std::optional<Arguments>& chosen) {
  auto* verb = app.add_subcommand("evaluate", "Measure accuracy, size and latency, models side by side");
  auto arguments = std::make_shared<StageArguments>();
  auto stage = std::make_shared<recipe::EvaluateStage>();
  arguments->kind = "evaluate";
  verb->add_option("models", arguments->models, "zoo names, .lmb or .pt2 files")->required();
  verb->add_option("--data", arguments->data, "dataset, such as fashion-mnist")->required();
  verb->add_option("-o,--output", arguments->folder, "folder for the report; none is kept without it");
  add_stage_flags(*verb, *arguments, [stage](recipe::Fields& f) { recipe::describe(f, *stage); }, {"models", "name"});
  verb->footer(
      "Example:\n  limbeck evaluate teacher.lmb student.lmb --data fashion-mnist \\\n"
      "    --data.mean [0.286] --data.stddev [0.353]");
  verb->callback([arguments, stage, &chosen] { chosen = *arguments; });
}

void add_preparation(CLI::App& verb, PreparationArguments& arguments) {
  verb.add_option("--preprocessing", arguments.preset,
                  "how images are prepared: imagenet is resize 256, crop 224 and ImageNet's mean and stddev")
      ->check(CLI::IsMember({"imagenet"}));
  verb.add_option("--resize", arguments.resize, "the images' shorter side, or height and width, in pixels")
      ->expected(1, 2);
  verb.add_option("--crop", arguments.crop, "side, or height and width, of the middle that is cut out")->expected(1, 2);
  verb.add_option("--interpolation", arguments.interpolation, "of --resize, bilinear without it; antialiased")
      ->check(CLI::IsMember({"nearest", "bilinear", "bicubic"}));
  verb.add_option("--mean", arguments.mean, "of images in 0..1, per channel: 0.485 ...");
  verb.add_option("--stddev", arguments.stddev, "likewise");
}

void add_infer(CLI::App& app, std::optional<Arguments>& chosen) {
  auto* verb = app.add_subcommand("infer", "Run a model on images or tensors");
  auto arguments = std::make_shared<InferArguments>();
  verb->add_option("model", arguments->model, "zoo name, .lmb or .pt2")->required();
  verb->add_option(
          "--input", arguments->inputs,
          "images (PNG, JPEG) and folders of them, or one .safetensors whose tensors are matched by name, else "
          "by position")
      ->required();
  verb->add_option("--on_error", arguments->on_error, "skip: leave images out that cannot be read, and count them")
      ->capture_default_str()
      ->check(CLI::IsMember({"raise", "skip"}));
  verb->add_option("--output", arguments->output_file, ".safetensors for the outputs, named as in the graph");
  add_preparation(*verb, arguments->preparation);
  verb->add_option("--top", arguments->top, "classes to print per image")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  add_device(*verb, arguments->device);
  add_accept(*verb, arguments->accept);
  add_output(*verb, arguments->output);
  verb->footer(
      "Example:\n  limbeck infer model.lmb --input cat.jpg dog.png --top 3\n  limbeck infer model.lmb --input "
      "photographs --on_error skip\n  limbeck infer model.lmb --input "
      "x.safetensors --output y.safetensors");
  verb->callback([arguments, &chosen] { chosen = *arguments; });
}

void add_profile(CLI::App& app, std::optional<Arguments>& chosen) {
  auto* verb = app.add_subcommand("profile", "Parameters, multiply-adds, bytes, latency and memory of a model");
  auto arguments = std::make_shared<ProfileArguments>();
  verb->add_option("model", arguments->model, "zoo name, .lmb or .pt2")->required();
  verb->add_option("--batch", arguments->batch, "samples per timed call")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  verb->add_option("--runs", arguments->runs, "timed calls; 0: none")
      ->capture_default_str()
      ->check(CLI::Range(0, 100'000'000));
  verb->add_option("--threads", arguments->threads, "0: as many as this process may use")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  verb->add_option("--depth", arguments->depth, "of the scopes listed")
      ->capture_default_str()
      ->check(CLI::Range(0, 1000));
  add_device(*verb, arguments->device);
  add_accept(*verb, arguments->accept);
  add_output(*verb, arguments->output);
  verb->footer("Example:\n  limbeck profile resnet50 --batch 8 --depth 2");
  verb->callback([arguments, &chosen] { chosen = *arguments; });
}

void add_capture(CLI::App& app, std::optional<Arguments>& chosen) {
  auto* verb = app.add_subcommand("capture", "Turn an exported PyTorch model into a .lmb file");
  auto arguments = std::make_shared<CaptureArguments>();
  verb->add_option("source", arguments->source, ".pt2 of torch.export, or zoo:NAME");
  verb->add_option("--train", arguments->train, "the train-mode export that pairs with it");
  verb->add_option("--model", arguments->model_name, "which of several models in the archive");
  verb->add_option("--mode", arguments->mode, "mode that a single export was made in")
      ->check(CLI::IsMember({"train", "eval"}));
  verb->add_option("--weights", arguments->weights, ".pth, .safetensors or .lmb to load into it, strictly");
  add_preparation(*verb, arguments->preparation);
  verb->add_option("--labels", arguments->labels, "file of class names: one a line, or a JSON array");
  verb->add_option("-o,--output", arguments->output_file, "the .lmb to write");
  verb->add_flag("--python", arguments->python, "print the Python snippet that exports a good pair");
  add_output(*verb, arguments->output);
  verb->footer(
      "Example:\n  limbeck capture --python > export_pair.py\n"
      "  limbeck capture eval.pt2 --train train.pt2 -o model.lmb \\\n"
      "    --preprocessing imagenet --labels classes.txt");
  verb->callback([arguments, &chosen] { chosen = *arguments; });
}

void add_show(CLI::App& app, std::optional<Arguments>& chosen) {
  auto* verb = app.add_subcommand("show", "Print a model's graph, or what there is in the zoo");
  auto arguments = std::make_shared<ShowArguments>();
  verb->add_option("model", arguments->model, "zoo name, .lmb or .pt2");
  verb->add_flag("--table", arguments->table, "a table of nodes instead of text");
  verb->add_flag("--zoo", arguments->zoo, "list the zoo");
  add_output(*verb, arguments->output);
  verb->footer("Example:\n  limbeck show model.lmb --table\n  limbeck show --zoo");
  verb->callback([arguments, &chosen] { chosen = *arguments; });
}

void add_doctor(CLI::App& app, std::optional<Arguments>& chosen) {
  auto* verb = app.add_subcommand("doctor", "What this machine and this build can do, and what is missing");
  auto arguments = std::make_shared<DoctorArguments>();
  add_output(*verb, arguments->output);
  verb->footer("Example:\n  limbeck doctor\n  LIMBECK_ISA=avx2 limbeck doctor --json");
  verb->callback([arguments, &chosen] { chosen = *arguments; });
}

void add_data(CLI::App& app, std::optional<Arguments>& chosen) {
  auto* verb = app.add_subcommand("data", "Describe a dataset: sizes, classes, mean and standard deviation");
  auto arguments = std::make_shared<DataArguments>();
  verb->add_option("dataset", arguments->dataset, data::dataset_forms())->required();
  verb->add_option("--path", arguments->path, "folder of the data, where it is not found by itself");
  add_output(*verb, arguments->output);
  verb->footer("Example:\n  limbeck data fashion-mnist\n  limbeck data folder:photographs");
  verb->callback([arguments, &chosen] { chosen = *arguments; });
}

/// Help in 80 columns.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override {
    return fmt::format("{}",
                       fmt::join(core::wrap(CLI::Formatter::make_option_desc(option), 80 - get_column_width()), "\n"));
  }
};

/// `limbeck help train` as `limbeck train --help`.
std::vector<std::string> words_of(int argc, const char* const* argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words.front() == "help") {
    words.erase(words.begin());
    words.emplace_back("--help");
  }
  return words;
}

/// Says so, with the nearest ones, where CLI11 would only say that a verb is missing.
bool is_unknown_verb(const CLI::App& app, const std::string& first) {
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    verbs.push_back(verb->get_name());
  if (first.starts_with('-') || std::find(verbs.begin(), verbs.end(), first) != verbs.end()) return false;
  fmt::print(stderr, "limbeck: there is no verb '{}'.{} Verbs: {}\n", first, nearest_hint(first, verbs),
             fmt::join(verbs, ", "));
  return true;
}

/// Says which flags a verb does not have, with the nearest that it has, where CLI11 would only list what is left over.
bool is_unknown_flag(const CLI::App& app) {
  for (const CLI::App* verb : app.get_subcommands()) {
    std::vector<std::string> flags;
    for (const CLI::Option* option : verb->get_options()) {
      for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    }
    for (const std::string& word : verb->remaining()) {
      if (!word.starts_with("--")) continue;
      const std::string flag = word.substr(0, word.find('='));
      fmt::print(stderr, "limbeck: {} has no flag '{}'.{} `limbeck {} --help` lists them.\n", verb->get_name(), flag,
                 nearest_hint(flag, flags), verb->get_name());
      return true;
    }
  }
  return false;
}

}  // namespace

Parsed parse(int argc, const char* const* argv) {
  CLI::App app("Limbeck takes a PyTorch model and yields a smaller, faster one that is as good.", "limbeck");
  app.require_subcommand(1);
  app.formatter(std::make_shared<HelpFormatter>());  // verbs take over what is set before they are added
  app.set_version_flag("--version", LIMBECK_VERSION);
  app.footer(
      "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 done but a goal was missed,\n"
      "130 interrupted after saving.");
  std::optional<Arguments> chosen;
  for (const auto add : {add_run, add_train, add_distill, add_evaluate, add_infer, add_profile, add_capture, add_show,
                         add_doctor, add_data}) {
    add(app, chosen);
  }
  std::vector<std::string> words = words_of(argc, argv);
  if (!words.empty() && is_unknown_verb(app, words.front()))
    return {.arguments = std::nullopt, .exit_code = kWrongUsage};
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app.parse(std::move(words));
  } catch (const CLI::ExtrasError& error) {
    if (!is_unknown_flag(app)) app.exit(error);
    return {.arguments = std::nullopt, .exit_code = kWrongUsage};
  } catch (const CLI::ParseError& error) {
    return {.arguments = std::nullopt, .exit_code = app.exit(error) == 0 ? kDone : kWrongUsage};
  }
  return {.arguments = std::move(chosen), .exit_code = kDone};
}

}  // namespace limbeck::cli
