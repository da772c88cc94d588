// Datasets by name, as recipes and the command line give them.
#pragma once

#include "limbeck/data/dataset.h"

#include <filesystem>
#include <optional>
#include <string_view>

namespace limbeck::data {

enum class Split { train, val, test };

/// "train", "val" or "test". Throws InvalidArgument for another name.
Split parse_split(std::string_view text);
const char* to_string(Split split);

struct OpenOptions {
  Split split = Split::train;
  std::int64_t val_size = 0;  ///< samples that train gives up to val (see hold_out); 0: there is no val
  std::optional<std::filesystem::path> path = std::nullopt;  ///< where the data lies, for names that are searched for
};

/// Opens `spec`:
///   fashion-mnist                     70,000 images [1, 28, 28] in 10 classes; see find_fashion_mnist
///   idx:FOLDER                        four files of MNIST's layout; see open_idx_folder
///   cifar10:FOLDER                    the binary version's files; see open_cifar
///   cifar100:FOLDER[?labels=coarse]   the same; 100 fine classes, or 20 coarse ones
///   folder:FOLDER[?channels=1]        folders train and test (or val), in each a folder of images a class; see
///                                     open_image_folder
///   npy:FOLDER[?layout=nhwc]          train_images.npy, train_labels.npy, test_...; see open_npy_folder
///   safetensors:FILE[?layout=nhwc]    tensors train_images, train_labels, test_...; see open_safetensors_arrays
///   synthetic:10x1x28x28?n=1000       see parse_synthetic_spec
/// Of folder:, val is the folder val where there is a folder test too and val_size is 0; test is the folder test, else
/// val. The train and val splits of one val_size never share a sample. Throws InvalidArgument for another name or key
/// (with the nearest ones) or val without a val_size, and IoError if the data cannot be read.
std::shared_ptr<const Dataset> open_dataset(std::string_view spec, const OpenOptions& options = {});

/// Whether `spec` has a val split that is no part of train: a folder val beside the folder test. Throws InvalidArgument
/// for an unknown name.
bool has_own_val(std::string_view spec);

/// What a dataset's name may look like: "fashion-mnist, idx:FOLDER, cifar10:FOLDER, ...".
std::string dataset_forms();

}  // namespace limbeck::data
