// CIFAR-10 and CIFAR-100 (Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images") in their binary
// version (www.cs.toronto.edu/~kriz/cifar.html): records of one label, or a coarse and a fine one, and 3,072 bytes, the
// red, green and blue plane of 32x32 pixels. A file is untrusted: its length and every label is checked.
#pragma once

#include "limbeck/data/dataset.h"

#include <filesystem>
#include <span>

namespace limbeck::data {

/// Which labels: the ten of CIFAR-10, the hundred of CIFAR-100, or its twenty coarse ones.
enum class CifarLabels { ten, fine, coarse };

enum class CifarPart { train, test };

/// Images [N, 3, 32, 32] and labels [N] of records, one after the other.
struct CifarRecords {
  std::vector<std::uint8_t> pixels;
  std::vector<std::int64_t> labels;
};

/// Appends the records of `file` to `records`; `name` is what messages call it. Throws IoError if it is empty, cut off
/// within a record, or a label is out of range.
void parse_cifar(std::span<const std::uint8_t> file, const std::string& name, CifarLabels labels,
                 CifarRecords& records);

/// The dataset in `folder`, or in the folder of the archive's name within it (cifar-10-batches-bin,
/// cifar-100-binary): data_batch_1.bin to data_batch_5.bin and test_batch.bin, or train.bin and test.bin. Class names
/// are those of batches.meta.txt, fine_label_names.txt or coarse_label_names.txt, numbers where there is no such file.
/// Throws IoError if a file is missing or damaged.
std::shared_ptr<const Dataset> open_cifar(const std::filesystem::path& folder, CifarLabels labels, CifarPart part,
                                          std::string name);

}  // namespace limbeck::data
