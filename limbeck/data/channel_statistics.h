// Mean and standard deviation of a dataset's channels, where some samples may not be readable; transforms.h declares
// them for datasets that can be read throughout.
#pragma once

#include "limbeck/data/loader.h"

namespace limbeck::data {

/// As channel_statistics(dataset). With OnError::skip samples that cannot be read count for nothing, and are told in a
/// warning; throws IoError where none can be read.
Normalize channel_statistics(const Dataset& dataset, OnError on_error);

}  // namespace limbeck::data
