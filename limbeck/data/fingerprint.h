// A dataset's content as one hash, so that results made from other data are not taken for results made from this.
#pragma once

#include <string>

#include "limbeck/data/dataset.h"

namespace limbeck::data {

/// SHA-256, in hexadecimal, of shape, class names, labels and pixels, in the order of the samples. Of a dataset that
/// does not lie in memory its identity() stands for labels and pixels: reading it all would take as long as an epoch.
std::string fingerprint(const Dataset& dataset);

}  // namespace limbeck::data
