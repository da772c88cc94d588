// The safetensors container (huggingface/safetensors, format of 2023): 8 bytes little-endian header length, a JSON
// header
// {"__metadata__": {string: string}, name: {"dtype", "shape", "data_offsets": [begin, end]}}, then the tensors' bytes
// without gaps. It carries weights, calibration inputs and outputs, and is the base of `.lmb`, whose graph is a JSON
// string in the metadata. Files are untrusted: every length, offset and shape is checked before anything is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limbeck/core/files/file.h"

namespace limbeck::core {

enum class DType : std::uint8_t {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u8,
  boolean,
  u16,
  u32,
  u64,
  f8_e4m3,
  f8_e5m2,
  c64
};

/// The name in files: "F64", "F32", "F16", "BF16", "I64", ..., "BOOL", "F8_E4M3", "F8_E5M2", "C64".
std::string_view dtype_name(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);
std::size_t dtype_bytes(DType dtype);

/// Bytes of a dense tensor; nothing if a dimension is negative or the product overflows int64.
std::optional<std::uint64_t> tensor_bytes(DType dtype, std::span<const std::int64_t> shape);

/// The header's limit of the reference implementation: 100 MB.
inline constexpr std::uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// Whether a file begins with a length within 2^48 and a JSON object: any container of safetensors, `.lmb` among them.
bool looks_like_safetensors(std::span<const std::byte> bytes);

/// Metadata of a file. std::map, so that equal metadata gives equal files.
using Metadata = std::map<std::string, std::string, std::less<>>;

/// A tensor of a file: contiguous, row-major, little-endian. `bytes` points into the mapping: keep the file's mapping()
/// alive with it. The bytes are private and writable. Foreign files may be misaligned for their dtype: ask
/// is_aligned().
struct StoredTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<std::byte> bytes;

  bool is_aligned() const { return reinterpret_cast<std::uintptr_t>(bytes.data()) % dtype_bytes(dtype) == 0; }
};

/// An open file. Copies share the mapping.
class SafetensorsFile {
 public:
  /// Maps the file privately. Throws IoError "[safetensors] PATH: what is wrong" and Unsupported for an unknown dtype.
  static SafetensorsFile open(const std::filesystem::path& path);

  /// Tensors in the order of their offsets (of their names where empty ones share an offset).
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  const StoredTensor* find(std::string_view name) const;

  /// As find, but throws InvalidArgument with the nearest names.
  const StoredTensor& at(std::string_view name) const;

  const Metadata& metadata() const { return metadata_; }
  const std::shared_ptr<MappedFile>& mapping() const { return mapping_; }

 private:
  std::shared_ptr<MappedFile> mapping_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::size_t, std::less<>> index_;
  Metadata metadata_;
};

/// A tensor to write: contiguous bytes of the size that dtype and shape demand.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

/// Writes atomically and streams from the spans. The header is padded with spaces so that the data starts at a multiple
/// of 64 bytes; tensors are ordered by element size, largest first, then by name, so each is aligned to its elements
/// and there are no gaps. Equal input gives equal files. Throws InvalidArgument for a wrong size, a duplicate or
/// reserved name, text that is not UTF-8 or a header beyond the limit; IoError for the disk.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const Metadata& metadata = {});

}  // namespace limbeck::core
