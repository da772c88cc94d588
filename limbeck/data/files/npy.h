// Reader of NumPy's .npy files, versions 1 to 3 (numpy.lib.format): a header with a Python literal, then the values. A
// file is untrusted: the header is parsed by a small grammar, never evaluated, and its sizes must be those of the file.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace limbeck::data {

enum class ByteOrder { little, big };

/// What a file says of its array. The values begin at `offset` and fill the file to its end.
struct NpyHeader {
  at::ScalarType dtype = at::kByte;
  ByteOrder byte_order = ByteOrder::little;
  bool is_fortran_order = false;
  std::vector<std::int64_t> shape;
  std::size_t offset = 0;
};

/// The header at the beginning of `file`; `name` is what messages call it. Throws IoError if it is damaged, longer than
/// 64 KiB, or the file has fewer or more bytes than its array, and Unsupported for other types than bool, integers,
/// halves, floats and doubles: objects, of which only Python's pickle knows the content, strings, records, complex.
NpyHeader parse_npy_header(std::span<const std::byte> file, const std::string& name);

/// The array of the file at `path`, in its own dtype (unsigned integers of more than 8 bits as torch has them). It maps
/// the file privately and copies only where byte order or alignment demand it; an array in Fortran order comes as a
/// transposed view. Errors as parse_npy_header, and IoError if it cannot be read.
at::Tensor read_npy(const std::filesystem::path& path);

}  // namespace limbeck::data
