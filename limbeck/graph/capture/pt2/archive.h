// A `.pt2` archive: a zip with models/NAME.json, the tensors of each model and their table. Tensors lie where they are
// in the privately mapped file. Torch 2.9 and newer write raw records; 2.6 to 2.8 pickle the tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "limbeck/graph/capture/pt2/program.h"
#include "limbeck/graph/weights/tensor_storage.h"
#include "limbeck/graph/weights/zip_directory.h"

namespace limbeck::capture {

struct StoredTensor {
  at::Tensor tensor;
  bool is_parameter = false;
};
/// Tensors by name. Names for one tensor (equal storage, sizes, strides, offset) hold one TensorImpl; names for other
/// views of a storage share it.
using TensorTable = std::map<std::string, StoredTensor, std::less<>>;

class Archive {
 public:
  /// Maps the file. Throws IoError for a file that is no `.pt2` or damaged; for what torch.save wrote the message says
  /// how to export.
  static Archive open(const std::string& path);
  /// The same over bytes in memory; `where` begins messages.
  static Archive read(weights::SharedBytes bytes, const std::string& where);

  /// Names of the exports in it, in the archive's order.
  const std::vector<std::string>& models() const { return models_; }
  const std::string& where() const { return where_; }

  ExportProgram program(const std::string& model) const;
  /// Parameters and buffers of `model`, with requires_grad set.
  TensorTable weights(const std::string& model) const;
  /// Lifted tensor constants and non-persistent buffers of `model`.
  TensorTable constants(const std::string& model) const;

 private:
  Archive(weights::SharedBytes bytes, weights::ZipDirectory directory, std::string where);

  std::string_view text(const weights::ZipRecord& record, std::size_t max_bytes) const;
  TensorTable tensors(const std::string& config, const std::string& folder) const;
  TensorTable pickled(const weights::ZipRecord& record) const;

  weights::SharedBytes bytes_;
  weights::ZipDirectory directory_;
  std::string where_;
  std::vector<std::string> models_;
};

}  // namespace limbeck::capture
