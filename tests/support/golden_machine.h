// Whether results of PyTorch that were recorded once can be met to the bit here.
#pragma once

namespace limbeck::testing {

/// The committed reference tensors were computed by torch 2.13 with its AVX-512 kernels on a processor of AMD's, for
/// which MKL takes other ones than for Intel's. Other kernels add up in another order: then results agree to rounding.
/// (What Python computes on the machine itself is met to the bit on all: the corpus.)
bool is_golden_machine();

}  // namespace limbeck::testing
