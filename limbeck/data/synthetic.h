// Synthetic images for tests, examples and speed measurements: never a default, and always named "synthetic:...", so
// that no result on them can be taken for one on real data. Every class has a smooth random pattern of its own; a
// sample shows it shifted, with its own contrast and noise. Integer arithmetic: the same bytes on every machine.
#pragma once

#include "limbeck/data/dataset.h"

#include <string_view>

namespace limbeck::data {

struct SyntheticSpec {
  std::int64_t classes = 10;
  ImageShape shape{1, 28, 28};
  std::int64_t num_train = 1000;
  std::int64_t num_test = 1000;
  std::int64_t noise = 48;  ///< largest deviation of a pixel, 0 to 255
  std::uint64_t seed = 0;

  /// Throws InvalidArgument if a field is out of range or one split would exceed 4 GiB.
  void validate() const;
};

/// Parses "CLASSESxCHANNELSxHEIGHTxWIDTH[?n=N&n_test=N&noise=A&seed=S]", such as "10x1x28x28?n=1000"; n_test is n
/// unless given. Throws InvalidArgument that shows the form and, for an unknown key, the nearest one.
SyntheticSpec parse_synthetic_spec(std::string_view text);

enum class SyntheticPart { train, test };

/// The samples of one part, in memory; label i % classes. Both parts share the patterns of the classes.
std::shared_ptr<const Dataset> synthetic_dataset(const SyntheticSpec& spec, SyntheticPart part);

}  // namespace limbeck::data
