#include "limbeck/load/load.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "limbeck/core/error.h"
#include "limbeck/core/files/safetensors.h"
#include "limbeck/graph/lmb.h"
#include "limbeck/graph/weights/pth.h"
#include "limbeck/graph/weights/state_dict.h"
#include "limbeck/graph/weights/zip_directory.h"
#include "limbeck/zoo/zoo.h"

namespace limbeck {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kZooPrefix = "zoo:";
constexpr const char* kHowToExport = "`limbeck capture --python` prints the Python lines that export a model as .pt2.";

std::string without_prefix(const std::string& what) {
  return what.starts_with(kZooPrefix) ? what.substr(kZooPrefix.size()) : what;
}

std::vector<std::string> zoo_names() {
  std::vector<std::string> names;
  for (const zoo::ZooEntry& entry : zoo::list()) names.push_back(entry.name);
  return names;
}

bool is_zoo_name(const std::string& what) {
  const std::vector<std::string> names = zoo_names();
  return std::find(names.begin(), names.end(), what.substr(0, what.find('?'))) != names.end();
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    names.push_back(entry.path().filename().string());
  return names;
}

[[noreturn]] void fail_missing(const std::string& what) {
  const fs::path path = what;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (!fs::is_directory(folder))
    fail<IoError>("[load] cannot open '{}': there is no folder '{}'", what, folder.string());
  std::string files = nearest_names(path.filename().string(), names_in(folder));
  if (!files.empty()) files = " Nearest files: " + files;
  if (path.has_parent_path() || path.has_extension()) fail<IoError>("[load] '{}' is no file.{}", what, files);
  fail<InvalidArgument>("[load] '{}' is no file and no model of the zoo.{} Nearest in the zoo: {}", what, files,
                        nearest_names(what, zoo_names()));
}

[[noreturn]] void fail_weights(const std::string& path) {
  if (weights::is_pickled_module(path)) {
    fail<Unsupported>(
        "[load] '{}' is a pickled module: Python code and no graph. Export the model from the Python that made it. {}",
        path, kHowToExport);
  }
  fail<Unsupported>(
      "[load] '{}' holds weights without a model. Name the model (a zoo name, .lmb or .pt2) and give these as its "
      "weights: --weights {} (LoadOptions::weights). {}",
      path, path, kHowToExport);
}

/// A zip archive of torch: an export, TorchScript or a pickle.
ModelSource identify_zip(const std::string& path, std::span<const std::byte> bytes) {
  const weights::ZipDirectory directory = weights::ZipDirectory::read(bytes, fmt::format("[load] {}", path));
  if (directory.has_in_folder("models/") || directory.has_in_folder("archive_format")) return ModelSource::pt2;
  if (directory.has_in_folder("code/")) {
    fail<Unsupported>("[load] '{}' is a TorchScript archive, which does not tell how the model trains. {}", path,
                      kHowToExport);
  }
  if (directory.find_in_folder("data.pkl") != nullptr) fail_weights(path);
  return ModelSource::pt2;  // the reader of exports knows older layouts, and says what it misses
}

ModelSource identify_file(const std::string& path) {
  const weights::SharedBytes file = weights::map_file(path);
  if (file.bytes.empty()) fail<IoError>("[load] '{}' is empty", path);
  if (weights::looks_like_zip(file.bytes)) return identify_zip(path, file.bytes);
  if (weights::looks_like_legacy_pickle(file.bytes)) fail_weights(path);
  if (core::looks_like_safetensors(file.bytes)) {
    if (graph::is_lmb(path)) return ModelSource::lmb;
    fail_weights(path);
  }
  fail<IoError>("[load] '{}' is no model: neither .lmb nor .pt2. {}", path, kHowToExport);
}

std::string describe(ModelSource source) { return source == ModelSource::zoo ? "a model of the zoo" : "an .lmb file"; }

graph::Graph load_graph(const std::string& what, const LoadOptions& options) {
  const ModelSource source = identify_model(what);
  LIMBECK_CHECK(source == ModelSource::pt2 || options.train.empty(),
                "[load] a train export pairs with a .pt2 file, and '{}' is {}", what, describe(source));
  switch (source) {
    case ModelSource::zoo: {
      const zoo::ZooName name = zoo::parse_name(without_prefix(what));
      return zoo::make(name.name, zoo::parse_options(name.options, options.seed));
    }
    case ModelSource::lmb:
      return graph::load_lmb(what);
    case ModelSource::pt2:
      return options.train.empty() ? capture::capture(what, options.capture)
                                   : capture::capture_pair(what, options.train, options.capture);
  }
  fail<InternalError>("[load] unknown source");
}

}  // namespace

ModelSource identify_model(const std::string& what) {
  LIMBECK_CHECK(!what.empty(), "[load] no model named: give a zoo name, an .lmb or a .pt2 file");
  if (what.starts_with(kZooPrefix)) return ModelSource::zoo;
  std::error_code error;
  const fs::file_status status = fs::status(what, error);
  if (fs::is_regular_file(status)) return identify_file(what);
  if (is_zoo_name(what)) return ModelSource::zoo;
  if (!fs::exists(status)) fail_missing(what);
  LIMBECK_CHECK(fs::is_directory(status), "[load] '{}' is no regular file", what);
  const std::vector<std::string> names = names_in(what);
  fail<InvalidArgument>(
      "[load] '{}' is a folder. Name one of its files{}", what,
      names.empty()
          ? ", of which there are none"
          : fmt::format(": {}", fmt::join(std::span(names).first(std::min<std::size_t>(names.size(), 10)), ", ")));
}

Model load(const std::string& what, const LoadOptions& options) {
  Model model(load_graph(what, options));
  if (!options.weights.empty()) load_weights(model, options.weights);
  return model;
}

void load_weights(Model& model, const std::string& path) {
  std::vector<weights::NamedTensor> targets;
  for (const NamedTensor& entry : model.state_dict()) targets.push_back({entry.name, entry.tensor});
  weights::copy_into(weights::load_state_dict(path), targets);
}

}  // namespace limbeck
