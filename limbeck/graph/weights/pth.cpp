#include "limbeck/graph/weights/pth.h"

#include <ATen/ATen.h>

#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/utf8.h"
#include "limbeck/graph/weights/legacy_pth.h"
#include "limbeck/graph/weights/pickle/pickle.h"
#include "limbeck/graph/weights/pickle/storage_dtype.h"
#include "limbeck/graph/weights/zip_directory.h"

namespace limbeck::weights {
namespace {

/// complex128 and the vector loads of most kernels want 16.
constexpr std::size_t kStorageAlignment = 16;

/// Archives of torch that hold more, or something else, than values: named, not guessed at.
void refuse_other_archives(const ZipDirectory& zip, std::string_view where) {
  const bool exported = zip.find_in_folder("archive_format") != nullptr || zip.has_in_folder("models/") ||
                        zip.find_in_folder("serialized_exported_program.json") != nullptr;
  if (exported) {
    fail<Unsupported>("[pth] {}: this is an exported program (.pt2), a graph with weights. Use `limbeck capture`",
                      where);
  }
  const bool script = zip.find_in_folder("constants.pkl") != nullptr || zip.has_in_folder("code/");
  if (script) {
    fail<Unsupported>(
        "[pth] {}: this is a TorchScript archive. In Python save its weights with "
        "torch.save(torch.jit.load(path).state_dict(), 'weights.pth')",
        where);
  }
}

std::string_view content_of(const ZipDirectory& zip, const ZipRecord& record, std::span<const std::byte> bytes) {
  const ZipRecord& stored = zip.stored(record);
  return {reinterpret_cast<const char*>(bytes.data()) + stored.offset, stored.size_bytes};
}

void refuse_big_endian(const ZipDirectory& zip, std::span<const std::byte> bytes, std::string_view where) {
  const ZipRecord* order = zip.find_in_folder("byteorder");
  if (order == nullptr || content_of(zip, *order, bytes) == "little") return;
  fail<Unsupported>("[pth] {}: written on a big-endian machine ('{}'). Load and save it again on a little-endian one",
                    where, core::printable(content_of(zip, *order, bytes)));
}

at::Storage read_record(const ZipDirectory& zip, const StorageRef& reference, const SharedBytes& file,
                        std::string_view where) {
  const ZipRecord* record = zip.find_in_folder("data/" + reference.key);
  if (record == nullptr) fail<IoError>("[pth] {}: record data/{} is missing", where, core::printable(reference.key));
  const ZipRecord& stored = zip.stored(*record);
  return storage_over(file.part(stored.offset, stored.size_bytes), kStorageAlignment);
}

PickleArchive read_zip(const SharedBytes& file, std::string_view where) {
  const ZipDirectory zip = ZipDirectory::read(file.bytes, where);
  refuse_other_archives(zip, where);
  const ZipRecord* pickle = zip.find_in_folder("data.pkl");
  if (pickle == nullptr) {
    fail<Unsupported>("[pth] {}: a zip archive, but not of torch.save: it has no data.pkl", where);
  }
  refuse_big_endian(zip, file.bytes, where);
  const ZipRecord& stored = zip.stored(*pickle);
  PickleDocument document = read_pickle(file.bytes.subspan(stored.offset, stored.size_bytes), where);
  std::unordered_map<std::string, at::Storage> storages;
  for (const PickleValue& value : document.values) {
    const auto* reference = value.get_if<StorageRef>();
    if (reference == nullptr || storages.contains(reference->key)) continue;
    storages.emplace(reference->key, read_record(zip, *reference, file, where));
  }
  return {std::move(document), std::move(storages), std::string(where)};
}

/// tar archives of torch before 0.1.10 say "ustar" in their first header.
bool looks_like_tar(std::span<const std::byte> bytes) {
  constexpr std::size_t kMagicOffset = 257;
  constexpr std::string_view kMagic = "ustar";
  if (bytes.size() < kMagicOffset + kMagic.size()) return false;
  return std::string_view(reinterpret_cast<const char*>(bytes.data()) + kMagicOffset, kMagic.size()) == kMagic;
}

at::ScalarType dtype_of(const TensorRef& reference, std::string_view where) {
  const std::string& name = reference.dtype.empty() ? reference.storage->type : reference.dtype;
  const auto dtype = reference.dtype.empty() ? dtype_of_storage(name) : dtype_of_name(name);
  if (dtype) return *dtype;
  // An UntypedStorage without a dtype is bytes.
  if (reference.dtype.empty() && name == "UntypedStorage") return at::kByte;
  fail<Unsupported>(
      "[pth] {}: a tensor of element type '{}', which is not plain data. Dequantize or convert it before saving", where,
      core::printable(name));
}

}  // namespace

PickleArchive::PickleArchive(PickleDocument document, std::unordered_map<std::string, at::Storage> storages,
                             std::string where)
    : document_(std::move(document)), storages_(std::move(storages)), where_(std::move(where)) {}

at::Tensor PickleArchive::tensor(const TensorRef& reference) const {
  const StorageRef& storage_ref = *reference.storage;
  const auto found = storages_.find(storage_ref.key);
  LIMBECK_ASSERT(found != storages_.end(), "[pth] {}: tensor of another archive", where_);
  const at::ScalarType dtype = dtype_of(reference, where_);
  const at::Storage& storage = found->second;
  const auto stored = static_cast<std::int64_t>(storage.nbytes() / c10::elementSize(dtype));
  const bool typed = reference.dtype.empty();
  if (typed && storage_ref.numel > stored) {
    fail<IoError>("[pth] {}: storage {} should have {} elements and has {}: the file is truncated", where_,
                  core::printable(storage_ref.key), storage_ref.numel, stored);
  }
  StridedView view{dtype, reference.offset, reference.sizes, reference.strides};
  if (storage_ref.is_view) {
    const bool fits = storage_ref.view_offset <= stored && storage_ref.view_numel <= stored - storage_ref.view_offset;
    if (!fits || reference.offset > storage_ref.view_numel) {
      fail<IoError>("[pth] {}: a view reaches beyond storage {}", where_, core::printable(storage_ref.key));
    }
    view.offset += storage_ref.view_offset;
  }
  at::Tensor tensor = tensor_in(storage, view, "[pth] " + where_);
  if (reference.conjugate) tensor = tensor.conj().resolve_conj();
  if (reference.negative) tensor = tensor.neg();
  return tensor;
}

PickleArchive read_pickle_archive(const SharedBytes& bytes, std::string_view where) {
  if (bytes.bytes.empty()) fail<IoError>("[pth] {}: the file is empty", where);
  if (looks_like_zip(bytes.bytes)) return read_zip(bytes, where);
  if (looks_like_legacy_pickle(bytes.bytes)) return read_legacy(bytes, where);
  if (looks_like_tar(bytes.bytes)) {
    fail<Unsupported>("[pth] {}: a tar archive of torch before 0.1.10. Load and save it again with a newer torch",
                      where);
  }
  fail<Unsupported>("[pth] {}: no file of torch.save", where);
}

PickleArchive read_pickle_archive(const std::string& path) { return read_pickle_archive(map_file(path), path); }

std::optional<std::string> module_class(const PickleValue& value) {
  const auto* object = value.get_if<PickleObject>();
  if (object == nullptr) return std::nullopt;
  std::optional<std::string> name(class_of(*object));
  // torch.fx writes its modules as calls of its own, with generated code.
  if (name->starts_with("torch.fx.graph_module.")) return name;
  const auto* state = object->state == nullptr ? nullptr : object->state->get_if<PickleDict>();
  if (state == nullptr) return std::nullopt;
  if (find_string(*state, "_parameters") == nullptr || find_string(*state, "_modules") == nullptr) return std::nullopt;
  return name;
}

bool is_pickled_module(const std::string& path) {
  const SharedBytes file = map_file(path);
  if (!looks_like_zip(file.bytes) && !looks_like_legacy_pickle(file.bytes)) return false;
  try {
    const PickleArchive archive = read_pickle_archive(file, path);
    if (module_class(archive.root())) return true;
    const auto* dict = archive.root().get_if<PickleDict>();
    if (dict == nullptr) return false;
    for (const auto& [key, value] : dict->entries) {
      if (module_class(*value)) return true;
    }
    return false;
  } catch (const Unsupported&) {
    return false;  // a .pt2 or a TorchScript archive
  }
}

}  // namespace limbeck::weights
