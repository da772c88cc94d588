// Files that Python's torch.save wrote: the zip layout (since torch 1.6) and the legacy one before it. They are read
// without Python and without running anything that they hold; tensors lie where they are in the privately mapped file
// wherever their alignment allows it, and tensors that shared a storage share it again.
// Sources: torch/serialization.py, _save, _legacy_save and their loaders.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "limbeck/graph/weights/pickle/pickle_value.h"
#include "limbeck/graph/weights/tensor_storage.h"

namespace limbeck::weights {

/// A file's values with the storages that its tensors lie in. Movable; values and tensors keep what they need alive.
class PickleArchive {
 public:
  PickleArchive(PickleDocument document, std::unordered_map<std::string, at::Storage> storages, std::string where);

  const PickleValue& root() const { return *document_.root; }
  const PickleDocument& document() const { return document_; }

  /// The tensor that a value describes: on the CPU, with the file's sizes, strides and offset, without gradient.
  /// Throws IoError where it reaches beyond its storage, Unsupported for quantized and unknown element types.
  at::Tensor tensor(const TensorRef& reference) const;

  /// The path, or what else begins messages about this archive.
  const std::string& where() const { return where_; }

 private:
  PickleDocument document_;
  std::unordered_map<std::string, at::Storage> storages_;
  std::string where_;
};

/// Reads a file of torch.save, any content: state dicts, checkpoints with optimizer state, also with objects of unknown
/// classes in them. Throws IoError where the file is truncated or malformed; Unsupported where it is of another kind,
/// naming it (TorchScript archive, .pt2, big-endian, torch before 0.1.10).
PickleArchive read_pickle_archive(const std::string& path);

/// The same from memory, as where one archive holds another (the weights of a .pt2 of torch 2.8). `where` is used in
/// messages. Tensors may lie in `bytes`, and writes to them show there.
PickleArchive read_pickle_archive(const SharedBytes& bytes, std::string_view where);

/// Whether the bytes begin as a legacy file of torch.save does.
bool looks_like_legacy_pickle(std::span<const std::byte> bytes);

/// The class of a whole pickled nn.Module ("torchvision.models.resnet.ResNet"), which can only be rebuilt by Python;
/// nothing for anything else.
std::optional<std::string> module_class(const PickleValue& value);

/// Whether the file holds a whole pickled nn.Module, at its top or directly under a key such as 'model'. False for
/// files of other kinds; throws IoError where the file can't be read at all.
bool is_pickled_module(const std::string& path);

}  // namespace limbeck::weights
