// Part of a dataset for quick runs that still shows what the whole does.
#pragma once

#include "limbeck/data/dataset.h"

namespace limbeck::data {

/// `count` samples: the first ones where they show every class and lie in memory, else as many drawn by a fixed
/// permutation, of each class its share: the same ones in every run, for every seed of training. Files of a folder are
/// sorted by class, so theirs are always drawn. Throws InvalidArgument unless 0 <= count <= size.
std::shared_ptr<const Dataset> limited(std::shared_ptr<const Dataset> whole, std::int64_t count);

}  // namespace limbeck::data
