#include "limbeck/graph/capture/pt2/archive.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <tuple>
#include <unordered_map>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/graph/capture/capture.h"
#include "limbeck/graph/weights/pth.h"

namespace limbeck::capture {

namespace {

constexpr std::string_view kModels = "models/";
constexpr std::string_view kJson = ".json";

/// What makes two payloads one tensor.
using Identity = std::tuple<std::string, at::ScalarType, int64_t, std::vector<int64_t>, std::vector<int64_t>>;

std::vector<int64_t> constants_of(const graph::Sizes& sizes, const Payload& payload, const std::string& where) {
  std::vector<int64_t> values;
  for (const graph::IntExpr& size : sizes) {
    const auto value = size.constant();
    if (!value)
      fail<IoError>("[capture] {}: tensor '{}' has the symbolic size {}", where, payload.name, size.to_string());
    values.push_back(*value);
  }
  return values;
}

[[noreturn]] void refuse_other_kind(const weights::ZipDirectory& directory, const std::string& where) {
  if (directory.find_in_folder("data.pkl") != nullptr) {
    fail<IoError>(
        "[capture] {} holds pickled Python objects (a module or a state dict), not an exported graph. Export it in "
        "Python:\n\n{}",
        where, python_snippet());
  }
  if (directory.has_in_folder("data/aotinductor/"))
    fail<Unsupported>("[capture] {} holds compiled code of AOTInductor and no exported graph", where);
  fail<IoError>("[capture] {} is a zip archive without models/*.json: it was not written by torch.export.save", where);
}

}  // namespace

Archive Archive::open(const std::string& path) { return read(weights::map_file(path), path); }

Archive Archive::read(weights::SharedBytes bytes, const std::string& where) {
  if (!weights::looks_like_zip(bytes.bytes)) {
    if (weights::looks_like_legacy_pickle(bytes.bytes)) {
      fail<IoError>("[capture] {} holds pickled Python objects, not an exported graph. Export it in Python:\n\n{}",
                    where, python_snippet());
    }
    fail<IoError>("[capture] {} is no zip archive, so it was not written by torch.export.save", where);
  }
  weights::ZipDirectory directory = weights::ZipDirectory::read(bytes.bytes, "[capture] " + where);
  return Archive(std::move(bytes), std::move(directory), where);
}

Archive::Archive(weights::SharedBytes bytes, weights::ZipDirectory directory, std::string where)
    : bytes_(std::move(bytes)), directory_(std::move(directory)), where_(std::move(where)) {
  const std::string prefix = directory_.folder() + "/" + std::string(kModels);
  for (const weights::ZipRecord& record : directory_.records()) {
    const std::string_view name = record.name;
    if (name.size() <= prefix.size() + kJson.size() || name.substr(0, prefix.size()) != prefix) continue;
    if (name.substr(name.size() - kJson.size()) != kJson) continue;
    models_.emplace_back(name.substr(prefix.size(), name.size() - prefix.size() - kJson.size()));
  }
  if (models_.empty()) refuse_other_kind(directory_, where_);
}

std::string_view Archive::text(const weights::ZipRecord& record, std::size_t max_bytes) const {
  directory_.stored(record);
  if (record.size_bytes > max_bytes)
    fail<IoError>("[capture] {}: {} has {} bytes, more than {}", where_, record.name, record.size_bytes, max_bytes);
  return {reinterpret_cast<const char*>(bytes_.bytes.data()) + record.offset, record.size_bytes};
}

ExportProgram Archive::program(const std::string& model) const {
  const weights::ZipRecord* record = directory_.find_in_folder(std::string(kModels) + model + std::string(kJson));
  LIMBECK_CHECK(record != nullptr, "[capture] {} has no export '{}', only: {}", where_, model,
                fmt::format("{}", fmt::join(models_, ", ")));
  return parse_program(text(*record, kMaxModelJsonBytes), model);
}

TensorTable Archive::weights(const std::string& model) const {
  if (const auto* pickle = directory_.find_in_folder("data/weights/" + model + ".pt")) return pickled(*pickle);
  return tensors("data/weights/" + model + "_weights_config.json", "data/weights/");
}

TensorTable Archive::constants(const std::string& model) const {
  if (const auto* pickle = directory_.find_in_folder("data/constants/" + model + ".pt")) return pickled(*pickle);
  return tensors("data/constants/" + model + "_constants_config.json", "data/constants/");
}

TensorTable Archive::tensors(const std::string& config, const std::string& folder) const {
  const weights::ZipRecord* table = directory_.find_in_folder(config);
  if (table == nullptr) fail<IoError>("[capture] {} lacks {}", where_, config);
  std::unordered_map<std::string, at::Storage> storages;
  std::map<Identity, at::Tensor> made;
  TensorTable result;
  for (const Payload& payload : parse_payloads(text(*table, kMaxModelJsonBytes), config)) {
    if (payload.use_pickle || !payload.type) {
      fail<Unsupported>("[capture] {}: '{}' is a pickled Python object (a tensor subclass or script object)", where_,
                        payload.name);
    }
    const weights::ZipRecord* record = directory_.find_in_folder(folder + payload.record);
    if (record == nullptr)
      fail<IoError>("[capture] {} lacks {}{}, the data of '{}'", where_, folder, payload.record, payload.name);
    at::Storage& storage = storages[payload.record];
    if (!storage) {
      directory_.stored(*record);
      storage = weights::storage_over(bytes_.part(record->offset, record->size_bytes), alignof(std::max_align_t));
    }
    const std::vector<int64_t> sizes = constants_of(*payload.type->sizes, payload, where_);
    const std::vector<int64_t> strides = constants_of(*payload.type->strides, payload, where_);
    at::Tensor& tensor = made[{payload.record, payload.type->dtype, payload.storage_offset, sizes, strides}];
    if (!tensor.defined()) {
      if (sizes.size() != strides.size())
        fail<IoError>("[capture] {}: '{}' has {} sizes and {} strides", where_, payload.name, sizes.size(),
                      strides.size());
      tensor = weights::tensor_in(
          storage, {.dtype = payload.type->dtype, .offset = payload.storage_offset, .sizes = sizes, .strides = strides},
          fmt::format("[capture] {}: '{}'", where_, payload.name));
      const bool wants_gradient = payload.type->requires_grad && payload.is_parameter;
      if (wants_gradient && (tensor.is_floating_point() || tensor.is_complex())) tensor.set_requires_grad(true);
    }
    result.emplace(payload.name, StoredTensor{tensor, payload.is_parameter});
  }
  return result;
}

TensorTable Archive::pickled(const weights::ZipRecord& record) const {
  directory_.stored(record);
  const std::string where = fmt::format("[capture] {}: {}", where_, record.name);
  const weights::PickleArchive archive =
      weights::read_pickle_archive(bytes_.part(record.offset, record.size_bytes), where);
  const auto* dict = archive.root().get_if<weights::PickleDict>();
  if (dict == nullptr) fail<IoError>("{} must hold a dict, got {}", where, weights::describe(archive.root()));
  std::unordered_map<const weights::TensorRef*, at::Tensor> made;
  TensorTable result;
  for (const auto& [key, value] : dict->entries) {
    const std::string* name = weights::text_of(*key);
    const auto* reference = value->get_if<weights::TensorRef>();
    if (name == nullptr || reference == nullptr)
      fail<Unsupported>("{} must hold tensors by name, got {}", where, weights::describe(*value));
    at::Tensor& tensor = made[reference];
    if (!tensor.defined()) {
      tensor = archive.tensor(*reference);
      if (reference->requires_grad && reference->is_parameter) tensor.set_requires_grad(true);
    }
    result.insert_or_assign(*name, StoredTensor{tensor, reference->is_parameter});
  }
  return result;
}

}  // namespace limbeck::capture
