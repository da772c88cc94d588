// Stochastic depth (Huang et al. 2016, arXiv:1603.09382) as libraries write it, recognised before functionalisation:
//
//   torchvision  empty, bernoulli_(keep), div_(keep), mul(x, noise)
//   timm         new_empty, bernoulli_(keep), div_(keep), mul(x, noise)
//   transformers rand, add(keep), floor_, div(x, keep), mul(x', noise)
//                                     ==>  limbeck::drop_path(x, 1 - keep, sampling, scale, per_sample, train=True)
//
// The division is optional. Each pattern keeps its own way of sampling, so that bits and generator state stay.
#pragma once

#include "limbeck/graph/capture/lower.h"

namespace limbeck::capture {

/// Returns how many were recognised.
std::size_t recognise_drop_paths(Export& source);

}  // namespace limbeck::capture
