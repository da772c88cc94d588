// The layout that torch.save wrote before 1.6, and still writes on demand: five pickles (magic number, protocol, the
// writer's machine, the value, the storages' keys), then the storages one after the other. Used by pth.cpp alone.
#pragma once

#include <string_view>

#include "limbeck/graph/weights/pth.h"

namespace limbeck::weights {

/// Reads the file; the caller has asked looks_like_legacy_pickle. Throws IoError and Unsupported as
/// read_pickle_archive does.
PickleArchive read_legacy(const SharedBytes& file, std::string_view where);

}  // namespace limbeck::weights
