#include "limbeck/data/stray_label.h"

#include <fmt/format.h>

namespace limbeck::data {
namespace {

bool is_class(std::int64_t label, std::int64_t num_classes) { return label >= 0 && label < num_classes; }

}  // namespace

std::string StrayLabel::to_string() const {
  const std::string its_file = file.empty() ? std::string() : fmt::format(" ({})", file);
  return fmt::format("sample {}{} has the label {}", index, its_file, label);
}

std::optional<StrayLabel> find_stray_label(const at::Tensor& labels, std::int64_t num_classes,
                                           std::optional<std::int64_t> ignored) {
  const at::Tensor dense = labels.contiguous();
  const std::int64_t* label = dense.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < dense.numel(); ++i) {
    if (!is_class(label[i], num_classes) && label[i] != ignored) return StrayLabel{.index = i, .label = label[i]};
  }
  return std::nullopt;
}

std::optional<StrayLabel> find_stray_label(const Dataset& dataset, std::int64_t num_classes) {
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const std::int64_t label = dataset.label(i);
    if (is_class(label, num_classes)) continue;
    const std::optional<EncodedSample> encoded = dataset.encoded(i);
    return StrayLabel{.index = i, .label = label, .file = encoded ? encoded->name : std::string()};
  }
  return std::nullopt;
}

}  // namespace limbeck::data
