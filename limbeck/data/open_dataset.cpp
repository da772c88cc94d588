#include "limbeck/data/open_dataset.h"

#include "limbeck/core/error.h"
#include "limbeck/data/files/array_dataset.h"
#include "limbeck/data/files/cifar.h"
#include "limbeck/data/files/idx_dataset.h"
#include "limbeck/data/files/image_folder.h"
#include "limbeck/data/synthetic.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace limbeck::data {
namespace {

namespace fs = std::filesystem;

/// A name taken apart: "cifar100:data/cifar?labels=coarse" has the place "data/cifar" and the value "coarse".
struct Address {
  std::string_view place;
  std::string_view key;
  std::string_view value;
};

using Open = std::shared_ptr<const Dataset> (*)(const Address& address, const OpenOptions& options, std::string name);

/// What a name may begin with, its form, and the key that may follow its place.
struct Kind {
  std::string_view prefix;
  std::string_view form;
  std::string_view key;
  Open open;
};

bool is_test(const OpenOptions& options) { return options.split == Split::test; }

std::shared_ptr<const Dataset> open_fashion_mnist(const Address&, const OpenOptions& options, std::string name) {
  return open_idx_folder(find_fashion_mnist(options.path), is_test(options) ? IdxPart::test : IdxPart::train,
                         std::move(name), fashion_mnist_class_names());
}

std::shared_ptr<const Dataset> open_idx(const Address& address, const OpenOptions& options, std::string name) {
  return open_idx_folder(address.place, is_test(options) ? IdxPart::test : IdxPart::train, std::move(name));
}

CifarPart cifar_part(const OpenOptions& options) { return is_test(options) ? CifarPart::test : CifarPart::train; }

std::shared_ptr<const Dataset> open_cifar10(const Address& address, const OpenOptions& options, std::string name) {
  return open_cifar(address.place, CifarLabels::ten, cifar_part(options), std::move(name));
}

std::shared_ptr<const Dataset> open_cifar100(const Address& address, const OpenOptions& options, std::string name) {
  LIMBECK_CHECK(address.value.empty() || address.value == "fine" || address.value == "coarse",
                "[data] labels of cifar100 are fine or coarse, got '{}'.", address.value);
  const CifarLabels labels = address.value == "coarse" ? CifarLabels::coarse : CifarLabels::fine;
  return open_cifar(address.place, labels, cifar_part(options), std::move(name));
}

ArrayPart array_part(const OpenOptions& options) { return is_test(options) ? ArrayPart::test : ArrayPart::train; }

ArrayLayout array_layout(const Address& address) {
  return address.value.empty() ? ArrayLayout::automatic : parse_array_layout(address.value);
}

std::shared_ptr<const Dataset> open_npy(const Address& address, const OpenOptions& options, std::string name) {
  return open_npy_folder(address.place, array_part(options), std::move(name), array_layout(address));
}

std::shared_ptr<const Dataset> open_safetensors(const Address& address, const OpenOptions& options, std::string name) {
  return open_safetensors_arrays(address.place, array_part(options), std::move(name), array_layout(address));
}

bool has_folder(const fs::path& root, const char* part) {
  std::error_code ignored;
  return fs::is_directory(root / part, ignored);
}

// The folder that holds a split of `root`.
const char* folder_of(Split split, const fs::path& root) {
  if (split == Split::train) return "train";
  if (split == Split::val) return "val";
  return has_folder(root, "test") || !has_folder(root, "val") ? "test" : "val";
}

std::shared_ptr<const Dataset> open_folder(const Address& address, const OpenOptions& options, std::string name) {
  LIMBECK_CHECK(address.value.empty() || address.value == "1" || address.value == "3",
                "[data] channels of folder: are 1 or 3, got '{}'.", address.value);
  const Channels channels = address.value == "1" ? Channels::gray : Channels::rgb;
  const fs::path root(address.place);
  const char* part = folder_of(options.split, root);
  for (const char* needed : {"train", part}) {
    if (has_folder(root, needed)) continue;
    fail<IoError>("[data] {} has no folder '{}'. Give it train and test (or val), in each a folder of images a class.",
                  root.string(), needed);
  }
  return open_image_folder(
      root / part, std::move(name),
      {.channels = channels,
       .class_names = options.split == Split::train ? std::vector<std::string>{} : class_folders(root / "train")});
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): of the table's type
std::shared_ptr<const Dataset> open_synthetic(const Address& address, const OpenOptions& options, std::string) {
  return synthetic_dataset(parse_synthetic_spec(address.place),
                           is_test(options) ? SyntheticPart::test : SyntheticPart::train);
}

constexpr std::array<Kind, 8> kKinds{{
    {"fashion-mnist", "fashion-mnist", "", open_fashion_mnist},
    {"idx:", "idx:FOLDER", "", open_idx},
    {"cifar10:", "cifar10:FOLDER", "", open_cifar10},
    {"cifar100:", "cifar100:FOLDER", "labels", open_cifar100},
    {"folder:", "folder:FOLDER", "channels", open_folder},
    {"npy:", "npy:FOLDER", "layout", open_npy},
    {"safetensors:", "safetensors:FILE", "layout", open_safetensors},
    {"synthetic:", "synthetic:10x1x28x28?n=1000", "", open_synthetic},
}};

[[noreturn]] void fail_unknown(std::string_view spec) {
  std::vector<std::string> prefixes;
  prefixes.reserve(kKinds.size());
  for (const Kind& kind : kKinds) prefixes.emplace_back(kind.prefix);
  const std::size_t colon = spec.find(':');
  const std::string nearest =
      nearest_names(spec.substr(0, colon == std::string_view::npos ? colon : colon + 1), prefixes, 1);
  const std::string hint = nearest.empty() ? "." : fmt::format("; did you mean {}?", nearest);
  fail<InvalidArgument>("[data] no dataset '{}'{} Known: {}.", spec, hint, dataset_forms());
}

const Kind& kind_of(std::string_view spec) {
  const auto found = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& kind) {
    return kind.prefix.ends_with(':') ? spec.starts_with(kind.prefix) : spec == kind.prefix;
  });
  if (found == kKinds.end()) fail_unknown(spec);
  return *found;
}

// A question mark that no '=' follows belongs to the place. Kinds without a key read it themselves.
Address address_of(std::string_view spec, const Kind& kind) {
  const std::string_view place = spec.substr(kind.prefix.size());
  const std::size_t mark = place.rfind('?');
  const std::size_t equals = place.find('=', mark == std::string_view::npos ? 0 : mark);
  if (kind.key.empty() || mark == std::string_view::npos || equals == std::string_view::npos) return {place, {}, {}};
  const std::string_view key = place.substr(mark + 1, equals - mark - 1);
  LIMBECK_CHECK(key == kind.key, "[data] {} has no key '{}'. It has {}.", kind.form, key, kind.key);
  return {place.substr(0, mark), key, place.substr(equals + 1)};
}

// A split before anything is held out.
std::shared_ptr<const Dataset> open_part(std::string_view spec, const OpenOptions& options) {
  const Kind& kind = kind_of(spec);
  return kind.open(address_of(spec, kind), options, fmt::format("{}/{}", spec, to_string(options.split)));
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

bool has_own_val(std::string_view spec) {
  const Kind& kind = kind_of(spec);
  if (kind.open != open_folder) return false;
  const fs::path root(address_of(spec, kind).place);
  return has_folder(root, "val") && has_folder(root, "test");
}

std::string dataset_forms() {
  std::vector<std::string_view> forms;
  forms.reserve(kKinds.size());
  for (const Kind& kind : kKinds) forms.push_back(kind.form);
  return fmt::format("{}", fmt::join(forms, ", "));
}

std::shared_ptr<const Dataset> open_dataset(std::string_view spec, const OpenOptions& options) {
  LIMBECK_CHECK(options.val_size >= 0, "[data] val_size must not be negative, got {}.", options.val_size);
  if (options.split == Split::test || options.val_size == 0) {
    LIMBECK_CHECK(options.split != Split::val || has_own_val(spec),
                  "[data] '{}' has no val split of its own: say with val_size how many samples train gives up.", spec);
    return open_part(spec, options);
  }
  OpenOptions whole = options;
  whole.split = Split::train;
  HeldOut cut = hold_out(open_part(spec, whole), options.val_size);
  return options.split == Split::val ? cut.val : cut.train;
}

}  // namespace limbeck::data
