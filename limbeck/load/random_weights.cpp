#include "limbeck/load/random_weights.h"

#include "limbeck/load/load.h"

namespace limbeck {

bool has_random_weights(const std::string& what) { return identify_model(what) == ModelSource::zoo; }

}  // namespace limbeck
