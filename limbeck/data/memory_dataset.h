// A dataset whose images and labels are two tensors: what the file readers and the synthetic sets return, and the
// shortest way to bring data of one's own.
#pragma once

#include "limbeck/data/dataset.h"
#include "limbeck/data/files/class_names.h"

namespace limbeck::data {

/// A dataset over tensors, which it shares with the caller; nobody may write to them afterwards.
/// Shapes: images [N, C, H, W], uint8 or float32, on the CPU; labels [N], int64. Non-contiguous tensors are copied.
/// Throws InvalidArgument if shapes or dtypes differ from that, or a label is no index into `class_names`.
std::shared_ptr<const Dataset> memory_dataset(std::string name, const at::Tensor& images, const at::Tensor& labels,
                                              std::vector<std::string> class_names);

}  // namespace limbeck::data
