#include "limbeck/zoo/zoo.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/zoo/architectures.h"

namespace limbeck::zoo {

namespace {

using MakeGraph = graph::Graph (*)(const ZooOptions&);

struct Row {
  ZooEntry entry;
  MakeGraph make_graph;
};

const std::vector<Row>& rows() {
  static const auto* const table = new std::vector<Row>{
      {{"resnet_basic",
        "ResNet of basic blocks with a 3x3 stem (He et al. 2015, arXiv:1512.03385)",
        {"classes", "in_channels", "image_size", "blocks", "widths", "stem_stride"}},
       make_resnet_basic},
      {{"cifar_resnet",
        "CIFAR ResNet of depth 6n+2, 1x1 shortcuts (He et al. 2015, section 4.2)",
        {"classes", "in_channels", "image_size", "depth", "width"}},
       make_cifar_resnet},
      {{"wide_resnet",
        "WRN-d-k, depth 6n+4, width k (Zagoruyko and Komodakis 2016, arXiv:1605.07146)",
        {"classes", "in_channels", "image_size", "depth", "width", "dropout"}},
       make_wide_resnet},
      {{"resnet18", "ResNet-18, torchvision's names (He et al. 2015)", {"classes", "in_channels", "image_size"}},
       make_resnet18},
      {{"resnet50", "ResNet-50 v1.5, torchvision's names (He et al. 2015)", {"classes", "in_channels", "image_size"}},
       make_resnet50},
      {{"mobilenet_v2",
        "MobileNetV2, torchvision's names (Sandler et al. 2018, arXiv:1801.04381)",
        {"classes", "in_channels", "image_size", "dropout"}},
       make_mobilenet_v2},
      {{"efficientnet_b0",
        "EfficientNet-B0, torchvision's names (Tan and Le 2019, arXiv:1905.11946)",
        {"classes", "in_channels", "image_size", "dropout", "drop_path"}},
       make_efficientnet_b0},
  };
  return *table;
}

const Row& find_row(std::string_view name) {
  std::vector<std::string> names;
  for (const Row& row : rows()) {
    if (row.entry.name == name) return row;
    names.push_back(row.entry.name);
  }
  fail<InvalidArgument>("[zoo] there is no architecture '{}'.{} All: {}", name, nearest_hint(name, names),
                        fmt::join(names, ", "));
}

/// Names of the fields that are set.
std::vector<std::string> set_fields(const ZooOptions& options) {
  std::vector<std::string> fields;
  const auto add = [&fields](bool is_set, const char* name) {
    if (is_set) fields.emplace_back(name);
  };
  add(options.classes.has_value(), "classes");
  add(options.in_channels.has_value(), "in_channels");
  add(options.image_size.has_value(), "image_size");
  add(options.depth.has_value(), "depth");
  add(options.width.has_value(), "width");
  add(!options.blocks.empty(), "blocks");
  add(!options.widths.empty(), "widths");
  add(options.stem_stride.has_value(), "stem_stride");
  add(options.dropout.has_value(), "dropout");
  add(options.drop_path.has_value(), "drop_path");
  return fields;
}

void check_range(const ZooOptions& options) {
  const auto positive = [](const std::optional<int64_t>& value, const char* name) {
    LIMBECK_CHECK(!value || (*value >= 1 && *value <= 1 << 20), "[zoo] {} must lie in [1, 2^20], got {}", name, *value);
  };
  positive(options.classes, "classes");
  positive(options.in_channels, "in_channels");
  positive(options.image_size, "image_size");
  positive(options.depth, "depth");
  positive(options.stem_stride, "stem_stride");
  for (const auto* list : {&options.blocks, &options.widths}) {
    for (const int64_t value : *list) positive(value, list == &options.blocks ? "blocks" : "widths");
  }
  LIMBECK_CHECK(!options.width || (*options.width > 0 && *options.width <= 1024),
                "[zoo] width must lie in (0, 1024], got {}", *options.width);
  for (const auto& [probability, name] :
       {std::pair{options.dropout, "dropout"}, std::pair{options.drop_path, "drop_path"}}) {
    LIMBECK_CHECK(!probability || (*probability >= 0 && *probability < 1), "[zoo] {} must lie in [0, 1), got {}", name,
                  *probability);
  }
}

template <class T>
T parse_number(const std::string& key, std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool is_number = error == std::errc() && end == text.data() + text.size();
  if constexpr (std::is_floating_point_v<T>) is_number = is_number && std::isfinite(value);
  LIMBECK_CHECK(is_number, "[zoo] option '{}' must be {}, got '{}'", key,
                std::is_integral_v<T> ? "an integer" : "a number", text);
  return value;
}

std::vector<int64_t> parse_list(const std::string& key, std::string_view text) {
  std::vector<int64_t> values;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t comma = std::min(text.find(',', start), text.size());
    values.push_back(parse_number<int64_t>(key, text.substr(start, comma - start)));
    start = comma + 1;
  }
  return values;
}

}  // namespace

const std::vector<ZooEntry>& list() {
  static const auto* const entries = [] {
    auto* all = new std::vector<ZooEntry>;
    for (const Row& row : rows()) all->push_back(row.entry);
    return all;
  }();
  return *entries;
}

graph::Graph make(std::string_view name, const ZooOptions& options) {
  const Row& row = find_row(name);
  for (const std::string& field : set_fields(options)) {
    const auto& known = row.entry.options;
    LIMBECK_CHECK(std::find(known.begin(), known.end(), field) != known.end(),
                  "[zoo] {} has no option '{}'. It has: {}", name, field, fmt::join(known, ", "));
  }
  check_range(options);
  return row.make_graph(options);
}

ZooOptions parse_options(const std::map<std::string, std::string>& options, uint64_t seed) {
  static const std::vector<std::string> known{"classes", "in_channels", "image_size",  "depth",   "width",
                                              "blocks",  "widths",      "stem_stride", "dropout", "drop_path"};
  ZooOptions parsed{.seed = seed};
  const std::map<std::string, std::optional<int64_t>*> integers{{"classes", &parsed.classes},
                                                                {"in_channels", &parsed.in_channels},
                                                                {"image_size", &parsed.image_size},
                                                                {"depth", &parsed.depth},
                                                                {"stem_stride", &parsed.stem_stride}};
  const std::map<std::string, std::optional<double>*> numbers{
      {"width", &parsed.width}, {"dropout", &parsed.dropout}, {"drop_path", &parsed.drop_path}};
  const std::map<std::string, std::vector<int64_t>*> lists{{"blocks", &parsed.blocks}, {"widths", &parsed.widths}};
  for (const auto& [key, text] : options) {
    if (const auto integer = integers.find(key); integer != integers.end()) {
      *integer->second = parse_number<int64_t>(key, text);
    } else if (const auto number = numbers.find(key); number != numbers.end()) {
      *number->second = parse_number<double>(key, text);
    } else if (const auto list = lists.find(key); list != lists.end()) {
      *list->second = parse_list(key, text);
    } else {
      fail<InvalidArgument>("[zoo] there is no option '{}'.{} All: {}", key, nearest_hint(key, known),
                            fmt::join(known, ", "));
    }
  }
  return parsed;
}

ZooName parse_name(std::string_view text) {
  const std::size_t mark = text.find('?');
  ZooName result{.name = std::string(text.substr(0, mark)), .options = {}};
  if (mark == std::string_view::npos) return result;
  for (std::size_t start = mark + 1; start < text.size();) {
    const std::size_t end = std::min(text.find('&', start), text.size());
    const std::string_view part = text.substr(start, end - start);
    const std::size_t equals = part.find('=');
    LIMBECK_CHECK(equals != std::string_view::npos, "[zoo] '{}' in '{}' is not of the form key=value", part, text);
    result.options.emplace(part.substr(0, equals), part.substr(equals + 1));
    start = end + 1;
  }
  return result;
}

}  // namespace limbeck::zoo
