// Moving a graph to another device, element type or memory format: its tensors and the constants that depend on them.
#pragma once

#include <ATen/core/Tensor.h>

#include "limbeck/graph/graph.h"

namespace limbeck {

/// Moves all parameters and buffers (and gradients), device constants and types. Tensors keep their identity where
/// ATen can exchange their data (CPU, CUDA and XPU); tied ones stay tied.
void convert_device(graph::Graph& graph, at::Device device);

/// Floating-point parameters and buffers (and gradients). Constants and types that name an element type which the
/// parameters had follow: the export wrote `x.to(y.dtype)` and `x.float()` alike.
void convert_dtype(graph::Graph& graph, at::ScalarType dtype);

/// 4-D parameters and buffers for channels_last, 5-D ones for channels_last_3d, all for contiguous, as
/// torch.nn.Module.to(memory_format=...).
void convert_memory_format(graph::Graph& graph, at::MemoryFormat format);

}  // namespace limbeck
