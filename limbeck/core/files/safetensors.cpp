#include "limbeck/core/files/safetensors.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"

namespace limbeck::core {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kDataAlignment = 64;
constexpr std::size_t kMaxDimensions = 64;

struct DTypeRow {
  DType dtype;
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<DTypeRow, 16> kDTypes = {{{DType::f64, "F64", 8},
                                               {DType::f32, "F32", 4},
                                               {DType::f16, "F16", 2},
                                               {DType::bf16, "BF16", 2},
                                               {DType::i64, "I64", 8},
                                               {DType::i32, "I32", 4},
                                               {DType::i16, "I16", 2},
                                               {DType::i8, "I8", 1},
                                               {DType::u8, "U8", 1},
                                               {DType::boolean, "BOOL", 1},
                                               {DType::u16, "U16", 2},
                                               {DType::u32, "U32", 4},
                                               {DType::u64, "U64", 8},
                                               {DType::f8_e4m3, "F8_E4M3", 1},
                                               {DType::f8_e5m2, "F8_E5M2", 1},
                                               {DType::c64, "C64", 8}}};

const DTypeRow& row_of(DType dtype) { return kDTypes.at(static_cast<std::size_t>(dtype)); }

std::uint64_t load_little_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  return value;
}

std::array<std::byte, kLengthBytes> store_little_endian(std::uint64_t value) {
  std::array<std::byte, kLengthBytes> bytes;
  for (std::size_t i = 0; i < kLengthBytes; ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
  return bytes;
}

// A tensor of the header, not yet bound to its bytes.
struct Entry {
  StoredTensor tensor;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

std::string_view read_header_text(const std::string& where, std::span<const std::byte> file) {
  if (file.size() < kLengthBytes)
    fail<IoError>("{}: truncated, {} bytes can't hold the header's length", where, file.size());
  const std::uint64_t length = load_little_endian(file);
  if (length > kMaxSafetensorsHeaderBytes)
    fail<IoError>("{}: the header's length is {} bytes, the limit is {}", where, length, kMaxSafetensorsHeaderBytes);
  if (length > file.size() - kLengthBytes)
    fail<IoError>("{}: truncated, the header needs {} bytes and {} follow", where, length, file.size() - kLengthBytes);
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                              static_cast<std::size_t>(length));
  if (!text.starts_with('{')) fail<IoError>("{}: the header must start with '{{'", where);
  return text;
}

DType read_dtype(const JsonView& view) {
  const auto dtype = dtype_from_name(view.as_string());
  if (!dtype) fail<Unsupported>("{}: unknown dtype {}", view.path(), view.value().summary());
  return *dtype;
}

Entry read_entry(std::string_view name, const JsonView& view, std::uint64_t data_bytes) {
  Entry entry;
  entry.tensor.name = name;
  entry.tensor.dtype = read_dtype(view["dtype"]);
  entry.tensor.shape = view["shape"].as_ints();
  const JsonView offsets = view["data_offsets"];
  if (offsets.as_array().size() != 2) offsets.fail("must be [begin, end]");
  entry.begin = static_cast<std::uint64_t>(offsets[0].as_int(0, INT64_MAX));
  entry.end = static_cast<std::uint64_t>(offsets[1].as_int(0, INT64_MAX));
  if (entry.begin > data_bytes || entry.end > data_bytes)
    fail<IoError>("{}: truncated or damaged, bytes [{}, {}] are named and {} of data follow the header", offsets.path(),
                  entry.begin, entry.end, data_bytes);
  if (entry.tensor.shape.size() > kMaxDimensions)
    view["shape"].fail(fmt::format("must have at most {} dimensions", kMaxDimensions));
  const auto bytes = tensor_bytes(entry.tensor.dtype, entry.tensor.shape);
  if (!bytes) view["shape"].fail("must have dimensions >= 0 and fit 2^63 bytes");
  if (entry.begin > entry.end || entry.end - entry.begin != *bytes)
    fail<IoError>("{}: offsets [{}, {}] don't hold the {} bytes of its shape and dtype", view.path(), entry.begin,
                  entry.end, *bytes);
  return entry;
}

Metadata read_metadata(const JsonView& view) {
  Metadata metadata;
  for (const auto& [key, value] : view.members()) metadata.emplace(key, value.as_string());
  return metadata;
}

// The format demands that tensors cover the data without overlap or gap.
void check_cover(const std::string& where, std::span<const Entry> sorted, std::uint64_t data_bytes) {
  std::uint64_t covered = 0;
  for (const Entry& entry : sorted) {
    if (entry.begin != covered)
      fail<IoError>("{}: tensor '{}' begins at {}, where {} was expected: tensors must not overlap or leave gaps",
                    where, entry.tensor.name, entry.begin, covered);
    covered = entry.end;
  }
  if (covered != data_bytes)
    fail<IoError>("{}: tensors end at {}, but the file has {} bytes of data: truncated or damaged", where, covered,
                  data_bytes);
}

void check_to_write(const TensorToWrite& tensor) {
  LIMBECK_CHECK(tensor.name != kMetadataKey, "[safetensors] a tensor can't be named {}", kMetadataKey);
  LIMBECK_CHECK(tensor.shape.size() <= kMaxDimensions, "[safetensors] tensor '{}' has {} dimensions, the limit is {}",
                tensor.name, tensor.shape.size(), kMaxDimensions);
  const auto bytes = tensor_bytes(tensor.dtype, tensor.shape);
  LIMBECK_CHECK(bytes.has_value(), "[safetensors] tensor '{}' has an impossible shape", tensor.name);
  LIMBECK_CHECK(*bytes == tensor.bytes.size(), "[safetensors] tensor '{}' needs {} bytes for its shape, got {}",
                tensor.name, *bytes, tensor.bytes.size());
}

std::vector<const TensorToWrite*> order_to_write(std::span<const TensorToWrite> tensors) {
  std::vector<const TensorToWrite*> ordered;
  for (const TensorToWrite& tensor : tensors) ordered.push_back(&tensor);
  std::sort(ordered.begin(), ordered.end(), [](const auto* a, const auto* b) {
    return std::tuple(dtype_bytes(b->dtype), std::string_view(a->name)) <
           std::tuple(dtype_bytes(a->dtype), std::string_view(b->name));
  });
  return ordered;
}

std::string header_text(std::span<const TensorToWrite* const> ordered, const Metadata& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) {
    Json& strings = header[kMetadataKey] = Json::object();
    for (const auto& [key, value] : metadata) strings.as_object().insert(key, value);
  }
  std::uint64_t offset = 0;
  for (const TensorToWrite* tensor : ordered) {
    const std::uint64_t end = offset + tensor->bytes.size();
    header.as_object().insert(tensor->name, Json::object({{"dtype", dtype_name(tensor->dtype)},
                                                          {"shape", Json::array(tensor->shape)},
                                                          {"data_offsets", Json::Array{offset, end}}}));
    offset = end;
  }
  std::string text = header.dump();
  const std::size_t used = (kLengthBytes + text.size()) % kDataAlignment;
  if (used > 0) text.append(kDataAlignment - used, ' ');
  LIMBECK_CHECK(text.size() <= kMaxSafetensorsHeaderBytes,
                "[safetensors] the header with its metadata has {} bytes, the limit is {}", text.size(),
                kMaxSafetensorsHeaderBytes);
  return text;
}

}  // namespace

std::string_view dtype_name(DType dtype) { return row_of(dtype).name; }

std::size_t dtype_bytes(DType dtype) { return row_of(dtype).bytes; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DTypeRow& row : kDTypes)
    if (row.name == name) return row.dtype;
  return std::nullopt;
}

std::optional<std::uint64_t> tensor_bytes(DType dtype, std::span<const std::int64_t> shape) {
  auto bytes = static_cast<std::int64_t>(dtype_bytes(dtype));
  bool fits = true, empty = false;
  for (std::int64_t dimension : shape) {
    if (dimension < 0) return std::nullopt;
    empty = empty || dimension == 0;
    fits = fits && !__builtin_mul_overflow(bytes, dimension, &bytes);
  }
  if (empty) return 0;
  return fits ? std::optional(static_cast<std::uint64_t>(bytes)) : std::nullopt;
}

bool looks_like_safetensors(std::span<const std::byte> bytes) {
  return bytes.size() > kLengthBytes && load_little_endian(bytes) < std::uint64_t{1} << 48 &&
         bytes[kLengthBytes] == std::byte{'{'};
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  const std::string where = "[safetensors] " + path.string();
  SafetensorsFile file;
  file.mapping_ = MappedFile::open(path, MappedFile::Access::private_writable);
  const std::string_view text = read_header_text(where, file.mapping_->bytes());
  const auto data = file.mapping_->writable_bytes().subspan(kLengthBytes + text.size());
  const Json header = parse_json(text, path.string() + " header", {.max_bytes = kMaxSafetensorsHeaderBytes});

  std::vector<Entry> entries;
  const std::string name = where + ": header";
  for (const auto& [key, view] : JsonView(header, name).members()) {
    if (key == kMetadataKey)
      file.metadata_ = read_metadata(view);
    else
      entries.push_back(read_entry(key, view, data.size()));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.tensor.name) < std::tie(b.begin, b.end, b.tensor.name);
  });
  check_cover(where, entries, data.size());
  for (Entry& entry : entries) {
    entry.tensor.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    file.index_.emplace(entry.tensor.name, file.tensors_.size());
    file.tensors_.push_back(std::move(entry.tensor));
  }
  return file;
}

const StoredTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found != index_.end() ? &tensors_[found->second] : nullptr;
}

const StoredTensor& SafetensorsFile::at(std::string_view name) const {
  if (const StoredTensor* tensor = find(name)) return *tensor;
  std::vector<std::string> names;
  for (const StoredTensor& tensor : tensors_) names.push_back(tensor.name);
  fail<InvalidArgument>("[safetensors] {} has no tensor '{}'.{}", mapping_->path().string(), name,
                        nearest_hint(name, names));
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const Metadata& metadata) {
  std::uint64_t data_bytes = 0;
  for (const TensorToWrite& tensor : tensors) {
    check_to_write(tensor);
    data_bytes += tensor.bytes.size();
  }
  const auto ordered = order_to_write(tensors);
  const std::string header = header_text(ordered, metadata);
  AtomicFile file(path, kLengthBytes + header.size() + data_bytes);
  file.write(store_little_endian(header.size()));
  file.write(header);
  for (const TensorToWrite* tensor : ordered) file.write(tensor->bytes);
  file.commit();
}

}  // namespace limbeck::core
