#include "limbeck/train/optim/kernels/kernel_bodies.h"

namespace limbeck::train::kernels {

UpdateKernels<float, float> portable_float_kernels() {
  return make_update_kernels<SingleLane<float, float>, float, float>();
}

UpdateKernels<double, double> portable_double_kernels() {
  return make_update_kernels<SingleLane<double, double>, double, double>();
}

SplitSgd portable_split_sgd() { return split_sgd<SingleLane<float, float>>; }

}  // namespace limbeck::train::kernels
