// The files that data/make_data.py wrote, and the values that they hold.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "limbeck/core/files/file.h"
#include "limbeck/graph/weights/pickle/pickle_value.h"
#include "limbeck/graph/weights/tensor_storage.h"

namespace limbeck::weights {

inline std::string golden(const std::string& name) {
  return std::string(LIMBECK_SOURCE_DIR) + "/tests/graph/weights/data/" + name;
}

/// Element i, row-major, is i / 4 - 1.
at::Tensor pattern(at::IntArrayRef sizes, at::ScalarType dtype = at::kFloat);

/// A copy of `content` that the result keeps alive; the end of the heap block is the end of the file, so that
/// AddressSanitizer sees a read beyond it.
inline SharedBytes shared_copy(std::string_view content) {
  auto owner = std::make_shared<std::vector<std::byte>>(core::as_bytes(content).begin(), core::as_bytes(content).end());
  return {*owner, owner};
}

/// Python's repr, more or less; `...` below the given depth.
std::string text_form(const PickleValue& value, int depth = 16);

}  // namespace limbeck::weights
