// The allow-list: what REDUCE and NEWOBJ make of a callable and its arguments, and what a persistent id means. Used by
// pickle.cpp alone.
#pragma once

#include <string_view>

#include "limbeck/graph/weights/pickle/pickle_value.h"

namespace limbeck::weights {

/// The value of `callable(*args)`: a dict, tuple, bytes or tensor for the callables listed in the source, else an inert
/// PickleObject. Throws IoError where a listed callable has arguments of a wrong kind.
PickleValue interpret_call(PicklePtr callable, PicklePtr args, std::string_view where);

/// The value of a persistent id: ('storage', type, key, location, numel[, view]) or ('module', class, file, source),
/// which stands for its class. Throws IoError for anything else.
PickleValue interpret_persistent_id(PicklePtr id, std::string_view where);

}  // namespace limbeck::weights
