#include "limbeck/model/precision/low_precision_ops.h"

#include <algorithm>
#include <string_view>

namespace limbeck {

namespace {

/// ATen/autocast_mode.h, AT_FORALL_LOWER_PRECISION_FP of the CPU, as far as exported graphs have it.
constexpr std::string_view kLowPrecisionOps[] = {"aten::conv1d",
                                                 "aten::conv2d",
                                                 "aten::conv3d",
                                                 "aten::conv_transpose1d",
                                                 "aten::conv_transpose2d",
                                                 "aten::conv_transpose3d",
                                                 "aten::linear",
                                                 "aten::matmul",
                                                 "aten::mm",
                                                 "aten::bmm",
                                                 "aten::addmm",
                                                 "aten::addbmm",
                                                 "aten::baddbmm",
                                                 "aten::einsum",
                                                 "aten::scaled_dot_product_attention",
                                                 "limbeck::depthwise_conv2d",
                                                 "limbeck::strided_pointwise_conv2d"};

}  // namespace

bool is_low_precision_op(const graph::OpInfo& op) {
  const std::string_view name = op.name;
  const std::string_view base = name.substr(0, name.find('.'));
  return std::find(std::begin(kLowPrecisionOps), std::end(kLowPrecisionOps), base) != std::end(kLowPrecisionOps);
}

}  // namespace limbeck
