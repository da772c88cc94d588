// Whether results of PyTorch that were recorded once can be met to the bit here.
#pragma once

namespace limbeck::testing {

/// The committed reference tensors were computed by torch 2.13 with its AVX-512 kernels. Others of its kernels add up
/// in another order: then results agree to rounding.
bool is_golden_machine();

}  // namespace limbeck::testing
