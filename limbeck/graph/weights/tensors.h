// safetensors files as tensors of ATen and back. Reading maps: a tensor lies in the file's private writable pages and
// keeps them alive. The format refuses shared offsets, so of tied tensors one is written and the others are named in
// the metadata key `aliases`, a JSON object {"other name": "written name"}.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "limbeck/core/files/safetensors.h"
#include "limbeck/graph/weights/tensor_storage.h"

namespace limbeck::weights {

/// Metadata key of the tied names in files that write_tensors makes.
inline constexpr std::string_view kAliasesKey = "aliases";

at::ScalarType scalar_type_of(core::DType dtype);

/// Throws Unsupported, naming `name`, for what safetensors has no type for (complex128, quantized types).
core::DType dtype_of(at::ScalarType type, std::string_view name);

/// Whether two tensors look at the same memory in the same way, so that one name may stand for both.
bool is_same_view(const at::Tensor& a, const at::Tensor& b);

/// The tensor in place, without a copy unless it is misaligned for its dtype.
at::Tensor tensor_of(const core::StoredTensor& stored, const std::shared_ptr<core::MappedFile>& mapping);

/// All tensors in the file's order, then the aliases, which share their storage: ours, and those that Python's
/// safetensors.torch.save_model writes (metadata name -> name). Throws IoError where `aliases` is malformed or names a
/// tensor that is not there.
std::vector<NamedTensor> read_tensors(const core::SafetensorsFile& file);

/// What stands in a file, made of tensors that may be views, tied or on other devices.
struct TensorsToWrite {
  std::vector<core::TensorToWrite> tensors;  ///< Point into `kept`.
  std::vector<std::pair<std::string, std::string>> aliases;
  std::vector<at::Tensor> kept;
};

/// Contiguous copies where needed; each set of names for one and the same view is one tensor and aliases. Throws
/// InvalidArgument where two tensors overlap in memory without being the same view: clone one of them.
TensorsToWrite prepare_tensors(std::span<const NamedTensor> tensors);

/// Writes a safetensors file atomically. `metadata` must not use the key `aliases`.
void write_tensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                   core::Metadata metadata = {});

}  // namespace limbeck::weights
