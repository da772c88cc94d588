// Folders of IDX files as datasets, and where Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747) lies.
#pragma once

#include "limbeck/data/dataset.h"

#include <filesystem>
#include <optional>

namespace limbeck::data {

enum class IdxPart { train, test };

/// The dataset in a folder of the four files of MNIST's layout: {train,t10k}-images-idx3-ubyte and
/// {train,t10k}-labels-idx1-ubyte, each with .gz or without (`.idx3-ubyte` is known too). Images are [N, H, W] or
/// [N, C, H, W]. Without `class_names` the classes are "0" to the largest label of the train part.
/// Throws IoError if a file is missing or damaged, or images and labels do not belong together.
std::shared_ptr<const Dataset> open_idx_folder(const std::filesystem::path& folder, IdxPart part, std::string name,
                                               std::vector<std::string> class_names = {});

/// The folder of Fashion-MNIST: `path` if given, else $LIMBECK_DATA (or its fashion-mnist folder) if set, else
/// build/data/fashion-mnist below the current folder or below $LIMBECK_SOURCE, else the folder of Debian's package
/// dataset-fashion-mnist. What the user named is not passed over: if it lacks the four files, that is the error.
/// Throws IoError that lists the places searched and how to get the data.
std::filesystem::path find_fashion_mnist(const std::optional<std::filesystem::path>& path = std::nullopt);

/// Names of Fashion-MNIST's ten classes.
const std::vector<std::string>& fashion_mnist_class_names();

}  // namespace limbeck::data
