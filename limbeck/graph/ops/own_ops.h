// Limbeck's own ops, with schemas of the same kind as ATen's:
//   limbeck::input(int index), limbeck::parameter(str name): where values enter a graph; a run supplies them.
//   limbeck::by_mode(Tensor? train, Tensor? eval): the argument of the mode that the node's scope runs in.
//   limbeck::drop_path(...): stochastic depth (Huang et al. 2016, arXiv:1603.09382) with the sampling op, the order of
//     arithmetic and so the bits and the generator's state of the library that the model came from.
//   limbeck::depthwise_conv2d(...): aten::conv2d with as many groups as channels, and gradients of our own (fused/).
//   limbeck::strided_pointwise_conv2d(...): aten::conv2d with a 1x1 kernel and a stride, on the pixels that it reads.
//   limbeck::patch_conv2d(...): aten::conv2d whose stride is its kernel, as a matrix product of patches.
//   limbeck::scaled_dot_product_attention(...): ATen's with gradients of our own (fused/attention).
//   limbeck::unbind(...): aten::unbind.int whose gradient is not copied where it lies in one piece (fused/attention).
//   limbeck::batch_norm_act(...): aten::batch_norm, then `residual` added, then the activation none, relu, relu6 or
//     silu (fused/).
#pragma once

#include <string_view>

#include "limbeck/graph/op.h"

namespace limbeck::graph {

struct OwnOp {
  const c10::FunctionSchema* schema = nullptr;  // static lifetime
  Kernel kernel = nullptr;                      // null for ops that only the interpreter runs
};

/// Null when `name` is not one of Limbeck's own.
const OwnOp* find_own_op(std::string_view name);

}  // namespace limbeck::graph
