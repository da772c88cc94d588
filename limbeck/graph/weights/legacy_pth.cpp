#include "limbeck/graph/weights/legacy_pth.h"

#include <ATen/core/Tensor.h>

#include <cstring>
#include <optional>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/utf8.h"
#include "limbeck/graph/weights/pickle/pickle.h"
#include "limbeck/graph/weights/pickle/storage_dtype.h"

namespace limbeck::weights {
namespace {

/// PROTO 2, LONG1 of ten bytes: 0x1950a86a20f9469cfc6c, torch.serialization.MAGIC_NUMBER.
constexpr unsigned char kMagic[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
/// torch.serialization.PROTOCOL_VERSION; there was never another one in this layout.
constexpr std::int64_t kProtocolVersion = 1001;

/// Reads the file's parts from front to back.
class LegacyReader {
 public:
  LegacyReader(const SharedBytes& file, std::string_view where) : file_(file), where_(where) {}

  PickleArchive read() {
    pickle();  // the magic number
    check_version();
    check_machine();
    PickleDocument document = pickle();
    auto storages = read_storages(document);
    return {std::move(document), std::move(storages), std::string(where_)};
  }

 private:
  PickleDocument pickle() {
    std::size_t consumed = 0;
    PickleDocument document = read_pickle(file_.bytes.subspan(position_), where_, &consumed);
    position_ += consumed;
    return document;
  }

  void check_version() {
    const PickleDocument document = pickle();
    const auto* version = document.root->get_if<std::int64_t>();
    if (version != nullptr && *version == kProtocolVersion) return;
    fail<Unsupported>("[pth] {}: legacy protocol is {}, only {} is known", where_,
                      version == nullptr ? describe(*document.root) : std::to_string(*version), kProtocolVersion);
  }

  void check_machine() {
    const PickleDocument document = pickle();
    const auto* info = document.root->get_if<PickleDict>();
    const PicklePtr little = info == nullptr ? nullptr : find_string(*info, "little_endian");
    const auto* is_little = little == nullptr ? nullptr : little->get_if<bool>();
    if (is_little == nullptr) fail<IoError>("[pth] {}: the legacy file does not say its byte order", where_);
    if (*is_little) return;
    fail<Unsupported>("[pth] {}: written on a big-endian machine. Load and save it again on a little-endian one",
                      where_);
  }

  std::unordered_map<std::string, at::Storage> read_storages(const PickleDocument& document) {
    std::unordered_map<std::string, const StorageRef*> wanted;
    for (const PickleValue& value : document.values) {
      if (const auto* reference = value.get_if<StorageRef>()) wanted.emplace(reference->key, reference);
    }
    const PickleDocument keys = pickle();
    const auto* list = keys.root->get_if<PickleList>();
    if (list == nullptr)
      fail<IoError>("[pth] {}: the storages' keys must be a list, got {}", where_, describe(*keys.root));
    std::unordered_map<std::string, at::Storage> storages;
    for (const PicklePtr item : list->items) {
      const std::string key = key_of(*item);
      const auto found = wanted.find(key);
      if (found == wanted.end() || storages.contains(key)) {
        fail<IoError>("[pth] {}: storage {} is not used by the value, or stored twice", where_, core::printable(key));
      }
      storages.emplace(key, read_storage(*found->second));
    }
    for (const auto& [key, reference] : wanted) {
      if (!storages.contains(key)) fail<IoError>("[pth] {}: storage {} is missing", where_, core::printable(key));
    }
    return storages;
  }

  std::string key_of(const PickleValue& value) const {
    if (const auto* number = value.get_if<std::int64_t>()) return std::to_string(*number);
    const std::string* text = text_of(value);
    if (text == nullptr) fail<IoError>("[pth] {}: a storage's key must be text, got {}", where_, describe(value));
    return *text;
  }

  /// Number of elements as 8 bytes, then the elements.
  at::Storage read_storage(const StorageRef& reference) {
    const bool untyped = reference.type == "UntypedStorage";
    const std::optional<c10::ScalarType> dtype = untyped ? c10::ScalarType::Byte : dtype_of_storage(reference.type);
    if (!dtype) {
      fail<Unsupported>("[pth] {}: a {}, which is not plain data. Dequantize or convert it before saving", where_,
                        core::printable(reference.type));
    }
    const std::size_t element_bytes = c10::elementSize(*dtype);
    const std::size_t left = file_.bytes.size() - position_;
    std::int64_t numel = 0;
    if (left < sizeof(numel))
      fail<IoError>("[pth] {}: truncated before storage {}", where_, core::printable(reference.key));
    std::memcpy(&numel, file_.bytes.data() + position_, sizeof(numel));
    if (numel != reference.numel || static_cast<std::uint64_t>(numel) > (left - sizeof(numel)) / element_bytes) {
      fail<IoError>("[pth] {}: storage {} should have {} elements and the file says {}, with {} bytes left", where_,
                    core::printable(reference.key), reference.numel, numel, left - sizeof(numel));
    }
    const std::size_t size_bytes = static_cast<std::size_t>(numel) * element_bytes;
    const SharedBytes content = file_.part(position_ + sizeof(numel), size_bytes);
    position_ += sizeof(numel) + size_bytes;
    return storage_over(content, element_bytes);
  }

  const SharedBytes& file_;
  std::string_view where_;
  std::size_t position_ = 0;
};

}  // namespace

bool looks_like_legacy_pickle(std::span<const std::byte> bytes) {
  return bytes.size() >= sizeof(kMagic) && std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) == 0;
}

PickleArchive read_legacy(const SharedBytes& file, std::string_view where) { return LegacyReader(file, where).read(); }

}  // namespace limbeck::weights
