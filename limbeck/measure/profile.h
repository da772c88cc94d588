// What a model costs before it runs: parameters, multiply-adds and bytes, in all and scope by scope.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "limbeck/model/model.h"

namespace limbeck::measure {

/// Costs of one scope and everything below it.
struct ScopeCost {
  std::string scope;       // "" is the whole model
  std::string type;        // class of the module, where known
  int64_t parameters = 0;  // values
  int64_t macs = 0;        // multiply-adds of convolutions and matrix products
};

struct Profile {
  int64_t parameters = 0;  // values of all distinct parameter tensors (tied ones once), without buffers
  int64_t buffers = 0;     // values of buffers
  int64_t parameter_bytes = 0;
  int64_t buffer_bytes = 0;
  int64_t macs = 0;               // in eval mode, of one sample; of one call where no input's first axis is free
  bool is_per_sample = false;     // whether some input's first axis is a symbol
  std::vector<ScopeCost> scopes;  // in order of first use, parents before children
};

/// Counts for one sample: symbols that stand on the batch axis of an input are 1, others their range's minimum.
Profile profile(const Model& model);

}  // namespace limbeck::measure
