#include "limbeck/data/files/array_dataset.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/safetensors.h"
#include "limbeck/core/json/json.h"
#include "limbeck/data/files/class_names.h"
#include "limbeck/data/files/npy.h"
#include "limbeck/data/memory_dataset.h"
#include "limbeck/data/stray_label.h"

#include <ATen/ops/aminmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fmt/ranges.h>

#include <array>
#include <cstring>
#include <limits>
#include <utility>

namespace limbeck::data {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxChannels = 4;  // that a layout is guessed for
constexpr std::int64_t kMaxClasses = 100'000;

bool is_integral(const at::Tensor& array) { return c10::isIntegralType(array.scalar_type(), /*includeBool=*/true); }

// Least and largest of integers; 0 and 0 of none.
std::pair<std::int64_t, std::int64_t> range_of(const at::Tensor& integers) {
  if (integers.numel() == 0) return {0, 0};
  const auto [least, largest] = at::aminmax(integers.to(at::kLong));
  return {least.item<std::int64_t>(), largest.item<std::int64_t>()};
}

ArrayLayout resolve_layout(const at::Tensor& array, const std::string& name, ArrayLayout layout) {
  if (layout != ArrayLayout::automatic) return layout;
  const auto may_be_channels = [&](std::int64_t axis) {
    return array.size(axis) >= 1 && array.size(axis) <= kMaxChannels;
  };
  LIMBECK_CHECK(may_be_channels(1) != may_be_channels(3),
                "[data] {} has the shape [{}], of which it cannot be told where the channels are. Add ?layout=nchw or "
                "?layout=nhwc to the dataset's name.",
                name, fmt::join(array.sizes(), ", "));
  return may_be_channels(1) ? ArrayLayout::nchw : ArrayLayout::nhwc;
}

at::Tensor to_nchw(const at::Tensor& array, const std::string& name, ArrayLayout layout) {
  LIMBECK_CHECK(array.dim() == 3 || array.dim() == 4,
                "[data] {} must hold images [N, C, H, W], [N, H, W, C] or [N, H, W], got the shape [{}].", name,
                fmt::join(array.sizes(), ", "));
  if (array.dim() == 3) return array.unsqueeze(1);
  return resolve_layout(array, name, layout) == ArrayLayout::nchw ? array : array.permute({0, 3, 1, 2});
}

/// The tensors of one part, and what messages call them.
struct PartArrays {
  at::Tensor images;
  at::Tensor labels;
  std::string images_name;
  std::string labels_name;
};

std::shared_ptr<const Dataset> make_dataset(const PartArrays& arrays, std::string name, ArrayLayout layout,
                                            std::vector<std::string> class_names) {
  const at::Tensor images = to_images(arrays.images, arrays.images_name, layout);
  const at::Tensor labels = to_labels(arrays.labels, arrays.labels_name);
  if (images.size(0) != labels.size(0)) {
    fail<IoError>("[data] there must be one label per image, got {} labels in {} for {} images in {}.", labels.size(0),
                  arrays.labels_name, images.size(0), arrays.images_name);
  }
  if (const auto stray = find_stray_label(labels, static_cast<std::int64_t>(class_names.size()))) {
    fail<IoError>(
        "[data] the labels in {} must be less than {}, the number of classes, and {}. Correct it, or name the classes "
        "in class_names.",
        arrays.labels_name, class_names.size(), stray->to_string());
  }
  return memory_dataset(std::move(name), images, labels, std::move(class_names));
}

std::vector<std::string> names_from_labels(const at::Tensor& train_labels, const std::string& name) {
  const at::Tensor labels = to_labels(train_labels, name);
  const std::int64_t largest = range_of(labels).second;
  if (const auto stray = find_stray_label(labels, kMaxClasses))
    fail<IoError>("[data] {}: a label must be less than {}, and {}. Correct it.", name, kMaxClasses,
                  stray->to_string());
  return numbered_class_names(labels.numel() == 0 ? 0 : largest + 1);
}

const char* text_of(ArrayPart part) { return part == ArrayPart::train ? "train" : "test"; }

// The file of either convention.
fs::path npy_file(const fs::path& folder, ArrayPart part, const char* kind, const char* letter) {
  const std::string ours = fmt::format("{}_{}.npy", text_of(part), kind);
  const std::string keras = fmt::format("{}_{}.npy", letter, text_of(part));
  for (const std::string& name : {ours, keras}) {
    std::error_code ignored;
    if (fs::is_regular_file(folder / name, ignored)) return folder / name;
  }
  fail<IoError>("[data] no {} and no {} in {}. Save the array there with numpy.save.", ours, keras, folder.string());
}

fs::path images_file(const fs::path& folder, ArrayPart part) { return npy_file(folder, part, "images", "x"); }
fs::path labels_file(const fs::path& folder, ArrayPart part) { return npy_file(folder, part, "labels", "y"); }

std::vector<std::string> npy_class_names(const fs::path& folder) {
  const fs::path named = folder / "class_names.txt";
  std::error_code ignored;
  if (fs::exists(named, ignored)) return read_class_names(named);
  const fs::path labels = labels_file(folder, ArrayPart::train);
  return names_from_labels(read_npy(labels), labels.string());
}

struct DtypePair {
  core::DType stored;
  at::ScalarType dtype;
};

constexpr std::array<DtypePair, 12> kDtypes{{{core::DType::f64, at::kDouble},
                                             {core::DType::f32, at::kFloat},
                                             {core::DType::f16, at::kHalf},
                                             {core::DType::bf16, at::kBFloat16},
                                             {core::DType::i64, at::kLong},
                                             {core::DType::i32, at::kInt},
                                             {core::DType::i16, at::kShort},
                                             {core::DType::i8, at::kChar},
                                             {core::DType::u8, at::kByte},
                                             {core::DType::boolean, at::kBool},
                                             {core::DType::u16, at::kUInt16},
                                             {core::DType::u32, at::kUInt32}}};

at::Tensor to_tensor(const core::SafetensorsFile& file, const core::StoredTensor& stored) {
  for (const auto& [from, to] : kDtypes) {
    if (from != stored.dtype) continue;
    if (stored.is_aligned()) {
      return at::from_blob(
          stored.bytes.data(), stored.shape, [mapping = file.mapping()](void*) {}, to);
    }
    at::Tensor copy = at::empty(stored.shape, to);
    std::memcpy(copy.mutable_data_ptr(), stored.bytes.data(), stored.bytes.size());
    return copy;
  }
  fail<Unsupported>("[data] {}: tensor '{}' holds {}, which cannot be images or labels. Convert it.",
                    file.mapping()->path().string(), stored.name, core::dtype_name(stored.dtype));
}

/// A tensor and what messages call it.
std::pair<at::Tensor, std::string> tensor_of(const core::SafetensorsFile& file, ArrayPart part, const char* kind) {
  const std::string wanted = fmt::format("{}_{}", text_of(part), kind);
  const std::string path = file.mapping()->path().string();
  const core::StoredTensor* stored = file.find(wanted);
  if (stored == nullptr) {
    std::vector<std::string> names;
    for (const auto& one : file.tensors()) names.push_back(one.name);
    fail<IoError>("[data] {} has no tensor '{}'.{} It must have train_images, train_labels, test_images, test_labels.",
                  path, wanted, nearest_hint(wanted, names));
  }
  return {to_tensor(file, *stored), fmt::format("{}: {}", path, wanted)};
}

std::vector<std::string> safetensors_class_names(const core::SafetensorsFile& file) {
  const auto found = file.metadata().find("class_names");
  if (found == file.metadata().end()) {
    const auto [labels, name] = tensor_of(file, ArrayPart::train, "labels");
    return names_from_labels(labels, name);
  }
  const std::string place = file.mapping()->path().string() + ": class_names";
  const core::Json document =
      core::parse_json(found->second, place, {.max_bytes = 16 << 20, .max_values = kMaxClasses + 1, .max_depth = 2});
  return core::JsonView(document, place).as_strings();
}

}  // namespace

ArrayLayout parse_array_layout(std::string_view text) {
  if (text == "nchw") return ArrayLayout::nchw;
  if (text == "nhwc") return ArrayLayout::nhwc;
  fail<InvalidArgument>("[data] a layout is nchw or nhwc, got '{}'.", text);
}

at::Tensor to_images(const at::Tensor& array, const std::string& name, ArrayLayout layout) {
  const at::Tensor images = to_nchw(array, name, layout);
  if (c10::isFloatingType(images.scalar_type())) return images.to(at::kFloat).contiguous();
  LIMBECK_CHECK(is_integral(images), "[data] {} must hold numbers, got {}.", name, c10::toString(images.scalar_type()));
  const auto [least, largest] =
      images.scalar_type() == at::kByte ? std::pair<std::int64_t, std::int64_t>{0, 255} : range_of(images);
  LIMBECK_CHECK(least >= 0 && largest <= 255,
                "[data] {} holds whole numbers from {} to {}: pixels must lie in 0..255. Convert it to uint8, or to "
                "float32 in the range that the model takes.",
                name, least, largest);
  return images.to(at::kByte).contiguous();
}

at::Tensor to_labels(const at::Tensor& array, const std::string& name) {
  const bool is_column = array.dim() == 2 && array.size(1) == 1;
  LIMBECK_CHECK((array.dim() == 1 || is_column) && is_integral(array),
                "[data] {} must hold one whole number a sample, [N] or [N, 1], got {} [{}].", name,
                c10::toString(array.scalar_type()), fmt::join(array.sizes(), ", "));
  at::Tensor labels = array.reshape({array.size(0)}).to(at::kLong).contiguous();
  const auto stray = find_stray_label(labels, std::numeric_limits<std::int64_t>::max());
  LIMBECK_CHECK(!stray, "[data] {}: labels must not be negative, and {}. Correct it.", name, stray->to_string());
  return labels;
}

std::shared_ptr<const Dataset> open_npy_folder(const fs::path& folder, ArrayPart part, std::string name,
                                               ArrayLayout layout) {
  const fs::path images = images_file(folder, part), labels = labels_file(folder, part);
  return make_dataset({read_npy(images), read_npy(labels), images.string(), labels.string()}, std::move(name), layout,
                      npy_class_names(folder));
}

std::shared_ptr<const Dataset> open_safetensors_arrays(const fs::path& path, ArrayPart part, std::string name,
                                                       ArrayLayout layout) {
  const auto file = core::SafetensorsFile::open(path);
  auto [images, images_name] = tensor_of(file, part, "images");
  auto [labels, labels_name] = tensor_of(file, part, "labels");
  return make_dataset({images, labels, images_name, labels_name}, std::move(name), layout,
                      safetensors_class_names(file));
}

}  // namespace limbeck::data
