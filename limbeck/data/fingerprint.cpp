#include "limbeck/data/fingerprint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "limbeck/core/hash.h"

namespace limbeck::data {

std::string fingerprint(const Dataset& dataset) {
  core::Sha256 hash;
  hash.update(fmt::format("{} {} {}\n", dataset.size(), to_string(dataset.shape()), dataset.class_names()));
  const std::optional<PixelView> view = dataset.pixels();
  if (!view) return hash.update(dataset.identity()).finish_hex();
  const auto image_bytes = static_cast<std::size_t>(dataset.shape().numel());
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const std::int64_t row = view->row(i);
    hash.update(std::as_bytes(std::span(view->labels + row, 1)));
    hash.update(std::as_bytes(std::span(view->pixels + static_cast<std::size_t>(row) * image_bytes, image_bytes)));
  }
  return hash.finish_hex();
}

}  // namespace limbeck::data
