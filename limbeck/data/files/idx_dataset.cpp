#include "limbeck/data/files/idx_dataset.h"

#include "limbeck/core/error.h"
#include "limbeck/data/files/idx.h"
#include "limbeck/data/memory_dataset.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

namespace limbeck::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHowToGet =
    "Run scripts/setup, install the package dataset-fashion-mnist, or name a folder with the four IDX files "
    "(train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and the same for t10k).";

struct FileName {
  const char* part;  // "train" or "t10k"
  const char* kind;  // "images" or "labels"
  int num_dims;
};

constexpr std::array<FileName, 4> kFiles{
    {{"train", "images", 3}, {"train", "labels", 1}, {"t10k", "images", 3}, {"t10k", "labels", 1}}};

// The file as the folder has it, or nothing.
std::optional<fs::path> find_file(const fs::path& folder, const FileName& file) {
  for (const char separator : {'-', '.'}) {
    const std::string stem = fmt::format("{}-{}{}idx{}-ubyte", file.part, file.kind, separator, file.num_dims);
    for (const char* suffix : {"", ".gz"}) {
      const fs::path path = folder / (stem + suffix);
      std::error_code ignored;
      if (fs::is_regular_file(path, ignored)) return path;
    }
  }
  return std::nullopt;
}

IdxArray read_part(const fs::path& folder, const FileName& file) {
  const auto path = find_file(folder, file);
  if (!path) {
    fail<IoError>("[data] no {}-{}-idx{}-ubyte, with .gz or without, in {}. Name a folder with the four IDX files.",
                  file.part, file.kind, file.num_dims, folder.string());
  }
  IdxArray array = read_idx(path->string());
  const bool is_right = file.num_dims == 1 ? array.dims.size() == 1 : array.dims.size() == 3 || array.dims.size() == 4;
  if (!is_right) {
    fail<IoError>("[data] {} must hold {}, got dimensions [{}]. Name the right file.", path->string(),
                  file.num_dims == 1 ? "labels [N]" : "images [N, H, W] or [N, C, H, W]", fmt::join(array.dims, ", "));
  }
  return array;
}

// A uint8 tensor that owns the array's bytes.
at::Tensor to_tensor(IdxArray array) {
  if (array.dims.size() == 3) array.dims.insert(array.dims.begin() + 1, 1);
  auto bytes = std::make_shared<std::vector<std::uint8_t>>(std::move(array.bytes));
  return at::from_blob(
      bytes->data(), array.dims, [bytes](void*) {}, at::kByte);
}

at::Tensor labels_to_tensor(const IdxArray& array) {
  at::Tensor labels = at::empty({array.dims[0]}, at::kLong);
  std::copy(array.bytes.begin(), array.bytes.end(), labels.mutable_data_ptr<std::int64_t>());
  return labels;
}

std::vector<std::string> names_from_labels(const IdxArray& train_labels) {
  const auto largest = std::max_element(train_labels.bytes.begin(), train_labels.bytes.end());
  return numbered_class_names(largest == train_labels.bytes.end() ? 0 : *largest + 1);
}

void check_belong_together(const fs::path& folder, const IdxArray& images, const IdxArray& labels,
                           std::size_t classes) {
  if (images.dims[0] != labels.dims[0]) {
    fail<IoError>(
        "[data] {}: there must be one label per image, got {} labels for {} images. Take both files from "
        "one source.",
        folder.string(), labels.dims[0], images.dims[0]);
  }
  for (std::size_t i = 0; i < labels.bytes.size(); ++i) {
    if (labels.bytes[i] >= classes) {
      fail<IoError>(
          "[data] {}: the label of sample {} must be less than {}, the number of classes, got {}. Take the "
          "files from one source.",
          folder.string(), i, classes, labels.bytes[i]);
    }
  }
}

bool has_four_files(const fs::path& folder) {
  return std::all_of(kFiles.begin(), kFiles.end(),
                     [&](const FileName& file) { return find_file(folder, file).has_value(); });
}

// The first of `folders` that has the four files.
fs::path first_complete(const std::vector<fs::path>& folders, const char* who) {
  const auto found = std::find_if(folders.begin(), folders.end(), has_four_files);
  if (found != folders.end()) return *found;
  std::vector<std::string> searched;
  searched.reserve(folders.size());
  for (const fs::path& folder : folders) searched.push_back(folder.string());
  fail<IoError>("[data] no Fashion-MNIST{}: searched {}. {}", who, fmt::join(searched, ", "), kHowToGet);
}

const char* environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

std::shared_ptr<const Dataset> open_idx_folder(const fs::path& folder, IdxPart part, std::string name,
                                               std::vector<std::string> class_names) {
  const std::size_t first = part == IdxPart::train ? 0 : 2;
  IdxArray images = read_part(folder, kFiles[first]);
  const IdxArray labels = read_part(folder, kFiles[first + 1]);
  if (class_names.empty()) {
    class_names = names_from_labels(part == IdxPart::train ? labels : read_part(folder, kFiles[1]));
  }
  check_belong_together(folder, images, labels, class_names.size());
  return memory_dataset(std::move(name), to_tensor(std::move(images)), labels_to_tensor(labels),
                        std::move(class_names));
}

fs::path find_fashion_mnist(const std::optional<fs::path>& path) {
  if (path) return first_complete({*path}, " in the folder named");
  if (const char* root = environment("LIMBECK_DATA")) {
    return first_complete({root, fs::path(root) / "fashion-mnist"}, " where LIMBECK_DATA points");
  }
  const fs::path unpacked = fs::path("build") / "data" / "fashion-mnist";
  std::vector<fs::path> folders{unpacked};
  if (const char* source = environment("LIMBECK_SOURCE")) folders.push_back(source / unpacked);
  folders.emplace_back("/usr/share/datasets/fashion-mnist");
  return first_complete(folders, "");
}

const std::vector<std::string>& fashion_mnist_class_names() {
  static const std::vector<std::string> names{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                              "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  return names;
}

}  // namespace limbeck::data
