// What the command line says, one struct per verb. The parser fills them; each verb is one function that takes its own.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace limbeck::cli {

/// `path=value` pairs in the recipe's own words: --set, and flags made from the options' descriptions.
using Settings = std::vector<std::pair<std::string, std::string>>;

/// Output that every verb has.
struct OutputOptions {
  bool json = false;   // results as JSON on standard output
  bool quiet = false;  // no progress
};

/// How a recipe is run, whatever it says.
struct RunOptions {
  double checkpoint_seconds = 30;  // between checkpoints within an epoch
  bool keeps_results = true;       // false: the output folder goes when the program ends
};

struct RunArguments {
  std::string recipe;
  Settings settings;
  std::vector<std::string> sweeps;  // KEY=VALUE,VALUE,...
  bool dry_run = false;
  RunOptions run;
  OutputOptions output;
};

/// train, distill and evaluate: one stage of a recipe, its keys as flags.
struct StageArguments {
  std::string kind;                   // "train", "distill", "evaluate"
  std::vector<std::string> models;    // train: the model; distill: student, teacher; evaluate: all to compare
  std::vector<std::string> features;  // distill: student=teacher[:weight]
  std::string accept = "none";        // of all models: the recipe's key of this name
  std::string data;
  std::string folder;  // for results
  Settings settings;   // of the stage
  Settings data_settings;
  Settings model_settings;          // "student.weights": of the recipe's models
  Settings recipe_settings;         // seed, threads, device, seeds
  std::vector<std::string> sweeps;  // KEY=VALUE,VALUE,...
  RunOptions run;
  OutputOptions output;
};

/// How images are prepared, where the model does not say it or is to be told otherwise.
struct PreparationArguments {
  std::string preset;                 // "imagenet", or empty
  std::vector<int64_t> resize, crop;  // sides in pixels, as torchvision's Resize and CenterCrop take them
  std::string interpolation;          // of the resize; empty: bilinear
  std::vector<double> mean, stddev;   // per channel, of pixels in 0..1
};

struct InferArguments {
  std::string model;
  std::vector<std::string> inputs;  // images and folders of them, or one .safetensors of tensors
  std::string on_error = "raise";   // what becomes of images that cannot be read: "raise", "skip"
  std::string output_file;          // .safetensors; empty: the classes are printed
  PreparationArguments preparation;
  int64_t top = 5;
  std::string device = "cpu";
  std::string accept = "none";  // modes to run although the file does not tell all about them
  OutputOptions output;
};

struct ProfileArguments {
  std::string model;
  std::string accept = "none";  // modes to run although the file does not tell all about them
  int64_t batch = 1;
  int64_t runs = 100;
  int64_t threads = 0;
  int64_t depth = 1;  // of the scopes listed
  std::string device = "cpu";
  OutputOptions output;
};

struct CaptureArguments {
  std::string source;      // .pt2, or zoo:NAME
  std::string train;       // the train export that pairs with it
  std::string model_name;  // of several in one archive
  std::string mode;        // of a single export: train or eval
  std::string weights;
  std::string output_file;
  PreparationArguments preparation;
  std::string labels;  // file of class names
  bool python = false;
  OutputOptions output;
};

struct ShowArguments {
  std::string model;
  bool table = false;
  bool zoo = false;
  OutputOptions output;
};

struct DoctorArguments {
  OutputOptions output;
};

struct DataArguments {
  std::string dataset;
  std::string path;
  OutputOptions output;
};

using Arguments = std::variant<RunArguments, StageArguments, InferArguments, ProfileArguments, CaptureArguments,
                               ShowArguments, DoctorArguments, DataArguments>;

}  // namespace limbeck::cli
