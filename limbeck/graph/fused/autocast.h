// What autocast does to the arguments of ops of its list of lower precision, for own ops that stand for them.
#pragma once

#include <ATen/core/Tensor.h>

namespace limbeck::fused {

/// The tensor in the type of autocast where that is on for the CPU, with its cache of cast weights; itself elsewhere.
at::Tensor as_autocast(const at::Tensor& tensor);

}  // namespace limbeck::fused
