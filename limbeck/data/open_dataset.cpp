#include "limbeck/data/open_dataset.h"

#include "limbeck/core/error.h"
#include "limbeck/data/idx_dataset.h"
#include "limbeck/data/synthetic.h"

#include <fmt/ranges.h>

#include <string>
#include <utility>

namespace limbeck::data {
namespace {

constexpr std::string_view kIdx = "idx:";
constexpr std::string_view kSynthetic = "synthetic:";
constexpr std::string_view kFashionMnist = "fashion-mnist";

[[noreturn]] void fail_unknown(std::string_view spec) {
  static const std::vector<std::string> kNames{"fashion-mnist", "idx:", "synthetic:"};
  const std::size_t colon = spec.find(':');
  const std::string nearest = nearest_names(spec.substr(0, colon == spec.npos ? colon : colon + 1), kNames, 1);
  const std::string hint = nearest.empty() ? "." : fmt::format("; did you mean {}?", nearest);
  fail<InvalidArgument>("[data] no dataset '{}'{} Known: fashion-mnist, idx:FOLDER, synthetic:10x1x28x28?n=1000.", spec,
                        hint);
}

// The train or test part, before anything is held out.
std::shared_ptr<const Dataset> open_part(std::string_view spec, const OpenOptions& options, bool is_test) {
  const IdxPart part = is_test ? IdxPart::test : IdxPart::train;
  const std::string suffix = is_test ? "/test" : "/train";
  if (spec == kFashionMnist) {
    return open_idx_folder(find_fashion_mnist(options.path), part, std::string(spec) + suffix,
                           fashion_mnist_class_names());
  }
  if (spec.starts_with(kIdx)) {
    return open_idx_folder(spec.substr(kIdx.size()), part, std::string(spec) + suffix);
  }
  if (spec.starts_with(kSynthetic)) {
    return synthetic_dataset(parse_synthetic_spec(spec.substr(kSynthetic.size())),
                             is_test ? SyntheticPart::test : SyntheticPart::train);
  }
  fail_unknown(spec);
}

}  // namespace

Split parse_split(std::string_view text) {
  for (const Split split : {Split::train, Split::val, Split::test}) {
    if (text == to_string(split)) return split;
  }
  fail<InvalidArgument>("[data] a split is train, val or test, got '{}'.", text);
}

const char* to_string(Split split) {
  switch (split) {
    case Split::train:
      return "train";
    case Split::val:
      return "val";
    case Split::test:
      return "test";
  }
  fail<InternalError>("[data] split {} has no name.", static_cast<int>(split));
}

std::shared_ptr<const Dataset> open_dataset(std::string_view spec, const OpenOptions& options) {
  LIMBECK_CHECK(options.val_size >= 0, "[data] val_size must not be negative, got {}.", options.val_size);
  LIMBECK_CHECK(options.split != Split::val || options.val_size > 0,
                "[data] '{}' has no val split of its own: say with val_size how many samples train gives up.", spec);
  auto part = open_part(spec, options, options.split == Split::test);
  if (options.split == Split::test || options.val_size == 0) return part;
  HeldOut cut = hold_out(part, options.val_size);
  return options.split == Split::val ? cut.val : cut.train;
}

}  // namespace limbeck::data
