#include "limbeck/data/files/cifar.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/data/files/class_names.h"
#include "limbeck/data/memory_dataset.h"

#include <ATen/ops/from_blob.h>

#include <array>
#include <utility>

namespace limbeck::data {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSide = 32;
constexpr std::size_t kImageBytes = 3 * kSide * kSide;

/// What distinguishes the two datasets and their labels.
struct Layout {
  const char* archive_folder;
  std::vector<const char*> train_files;
  const char* test_file;
  const char* names_file;
  std::size_t label_bytes;  // of a record
  std::size_t label_at;     // the one that counts
  std::int64_t num_classes;
};

const Layout& layout_of(CifarLabels labels) {
  static const std::vector<const char*> kBatches{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                                 "data_batch_4.bin", "data_batch_5.bin"};
  static const Layout kTen{"cifar-10-batches-bin", kBatches, "test_batch.bin", "batches.meta.txt", 1, 0, 10};
  static const Layout kFine{"cifar-100-binary", {"train.bin"}, "test.bin", "fine_label_names.txt", 2, 1, 100};
  static const Layout kCoarse{"cifar-100-binary", {"train.bin"}, "test.bin", "coarse_label_names.txt", 2, 0, 20};
  if (labels == CifarLabels::ten) return kTen;
  return labels == CifarLabels::fine ? kFine : kCoarse;
}

fs::path folder_of_files(const fs::path& folder, const Layout& layout) {
  for (const fs::path& one : {folder, folder / layout.archive_folder}) {
    std::error_code ignored;
    if (fs::is_regular_file(one / layout.test_file, ignored)) return one;
  }
  fail<IoError>("[data] no {} in {} or its folder {}. Name the folder that the archive of the binary version gave.",
                layout.test_file, folder.string(), layout.archive_folder);
}

void read_file_into(const fs::path& path, CifarLabels labels, CifarRecords& records) {
  const std::string file = core::read_file(path);
  parse_cifar({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()}, path.string(), labels, records);
}

std::vector<std::string> class_names_of(const fs::path& folder, const Layout& layout) {
  const fs::path path = folder / layout.names_file;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return numbered_class_names(layout.num_classes);
  std::vector<std::string> names = read_class_names(path);
  if (std::cmp_not_equal(names.size(), layout.num_classes)) {
    fail<IoError>("[data] {} must name {} classes, one a line, got {}.", path.string(), layout.num_classes,
                  names.size());
  }
  return names;
}

// A tensor that owns the values.
template <class T>
at::Tensor to_tensor(std::vector<T> values, at::IntArrayRef sizes) {
  auto owner = std::make_shared<std::vector<T>>(std::move(values));
  const auto release = [owner](void*) {};
  return at::from_blob(owner->data(), sizes, release, c10::CppTypeToScalarType<T>::value);
}

}  // namespace

void parse_cifar(std::span<const std::uint8_t> file, const std::string& name, CifarLabels labels,
                 CifarRecords& records) {
  const Layout& layout = layout_of(labels);
  const std::size_t record_bytes = layout.label_bytes + kImageBytes;
  if (file.empty() || file.size() % record_bytes != 0) {
    fail<IoError>("[data] {} must consist of records of {} bytes, got {} bytes. Fetch the binary version again.", name,
                  record_bytes, file.size());
  }
  records.pixels.reserve(records.pixels.size() + file.size() / record_bytes * kImageBytes);
  for (std::size_t at = 0; at < file.size(); at += record_bytes) {
    const std::int64_t label = file[at + layout.label_at];
    if (label >= layout.num_classes) {
      fail<IoError>("[data] {}: the label of record {} must be less than {}, got {}. Fetch the binary version again.",
                    name, at / record_bytes, layout.num_classes, label);
    }
    const auto image = file.subspan(at + layout.label_bytes, kImageBytes);
    records.labels.push_back(label);
    records.pixels.insert(records.pixels.end(), image.begin(), image.end());
  }
}

std::shared_ptr<const Dataset> open_cifar(const fs::path& folder, CifarLabels labels, CifarPart part,
                                          std::string name) {
  const Layout& layout = layout_of(labels);
  const fs::path files = folder_of_files(folder, layout);
  CifarRecords records;
  if (part == CifarPart::test) {
    read_file_into(files / layout.test_file, labels, records);
  } else {
    for (const char* file : layout.train_files) read_file_into(files / file, labels, records);
  }
  const auto count = static_cast<std::int64_t>(records.labels.size());
  return memory_dataset(std::move(name), to_tensor(std::move(records.pixels), {count, 3, kSide, kSide}),
                        to_tensor(std::move(records.labels), {count}), class_names_of(files, layout));
}

}  // namespace limbeck::data
