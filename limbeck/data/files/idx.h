// Reader of the IDX format (yann.lecun.com/exdb/mnist, "THE IDX FILE FORMAT"), plain or gzip-compressed: the files of
// MNIST, Fashion-MNIST, KMNIST and EMNIST. A file is untrusted: every length is checked before anything is allocated.
// Knows nothing of torch.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace limbeck::data {

/// What a reader accepts.
struct IdxLimits {
  std::uint64_t max_bytes = std::uint64_t{4} << 30;  ///< of the file, and of the array in it
  int max_dims = 4;                                  ///< images are 3-D or 4-D, labels 1-D
};

/// An array of unsigned bytes, row-major. bytes.size() is the product of dims.
struct IdxArray {
  std::vector<std::int64_t> dims;
  std::vector<std::uint8_t> bytes;
};

/// The array in `file`, the bytes of an IDX file, gzip-compressed or not; `name` is what messages call it.
/// Throws IoError, naming the file and what to do, if the file is not IDX, holds another type than unsigned bytes, is
/// truncated, corrupt or longer than its header says, or breaks a limit. Allocates at most limits.max_bytes, and at
/// most 1032 times the file's size, which is as far as deflate can compress.
IdxArray parse_idx(std::span<const std::uint8_t> file, const std::string& name, const IdxLimits& limits = {});

/// Reads the file at `path`; errors as parse_idx, and IoError if it cannot be read.
IdxArray read_idx(const std::string& path, const IdxLimits& limits = {});

}  // namespace limbeck::data
