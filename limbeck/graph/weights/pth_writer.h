// State dicts for Python: a file that torch.load(path, weights_only=True) takes, with the names, strides and shared
// storages of the tensors given, so that module.load_state_dict(..., strict=True) accepts it.
// Source: torch/serialization.py, _save.
#pragma once

#include <filesystem>
#include <span>

#include "limbeck/graph/weights/pickle/saved_value.h"
#include "limbeck/graph/weights/tensor_storage.h"

namespace limbeck::weights {

/// Writes an OrderedDict of the tensors as a zip archive of torch.save, atomically. Tensors over one storage stay so;
/// a tensor that alone uses a larger storage is written without the rest of it. Tensors on other devices are copied to
/// the CPU, gradients are dropped. Throws InvalidArgument for a repeated or overlong name, Unsupported for tensors that
/// are no plain strided data (sparse, quantized) or share a storage with another element type, IoError for the disk.
void write_pth(const std::filesystem::path& path, std::span<const NamedTensor> tensors);

/// Writes any plain data with tensors in it, such as a checkpoint's {'model_state_dict': ..., 'optimizer_state_dict':
/// ...}, in the same way and with the same errors.
void write_pth(const std::filesystem::path& path, const SavedValue& value);

}  // namespace limbeck::weights
