// Tensors over bytes that somebody else holds, mapped files above all.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace limbeck::weights {

/// A tensor under a name, as in a state dict.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// Writable bytes and what keeps them alive (a core::MappedFile, an archive, a std::string).
struct SharedBytes {
  std::span<std::byte> bytes;
  std::shared_ptr<void> owner;

  /// A part; throws nothing: the caller has checked the range.
  SharedBytes part(std::size_t offset, std::size_t size_bytes) const {
    return {bytes.subspan(offset, size_bytes), owner};
  }
};

/// Maps a file privately and writably. Throws IoError.
SharedBytes map_file(const std::string& path);

/// A storage over `shared`, which stays alive with it; a copy where the bytes are not aligned to `alignment`.
/// Not resizable.
at::Storage storage_over(const SharedBytes& shared, std::size_t alignment);

/// A tensor that repeats elements (expanded, stride 0) may have this many; all others have at most what is stored.
inline constexpr std::int64_t kMaxRepeatedElements = std::int64_t{1} << 24;

/// Where and what a tensor is within a storage; all in elements.
struct StridedView {
  at::ScalarType dtype;
  std::int64_t offset = 0;
  std::span<const std::int64_t> sizes;
  std::span<const std::int64_t> strides;
};

/// The tensor that `view` describes. Throws IoError, beginning with `where`, where it reaches beyond the storage.
at::Tensor tensor_in(const at::Storage& storage, const StridedView& view, std::string_view where);

}  // namespace limbeck::weights
