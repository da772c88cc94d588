#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/console.h"
#include "limbeck/core/format.h"
#include "limbeck/core/table.h"
#include "limbeck/data/files/encoded_image.h"
#include "limbeck/data/open_dataset.h"
#include "limbeck/data/transforms.h"

namespace limbeck::cli {

namespace {

using core::Json;

/// One split: how many samples each class has.
struct Part {
  std::string name;
  std::shared_ptr<const data::Dataset> dataset;
  std::vector<int64_t> class_counts{};
};

/// Image files of which the sizes and the statistics are taken: decoding a million would take an hour.
constexpr int64_t kMaxFiles = 1000;

Part open_part(const DataArguments& arguments, data::Split split) {
  data::OpenOptions options{.split = split};
  if (!arguments.path.empty()) options.path = arguments.path;
  Part part{.name = data::to_string(split), .dataset = data::open_dataset(arguments.dataset, options)};
  part.class_counts.resize(static_cast<std::size_t>(part.dataset->num_classes()));
  for (int64_t i = 0; i < part.dataset->size(); ++i) {
    ++part.class_counts.at(static_cast<std::size_t>(part.dataset->label(i)));
  }
  return part;
}

Json to_json(const Part& part) {
  Json classes = Json::object();
  for (std::size_t i = 0; i < part.class_counts.size(); ++i)
    classes[part.dataset->class_names()[i]] = part.class_counts[i];
  return Json::object({{"size", part.dataset->size()}, {"classes", std::move(classes)}});
}

std::string class_table(const std::vector<Part>& parts) {
  std::vector<core::Table::Column> columns{{"class"}, {"name", core::Table::Align::left}};
  for (const Part& part : parts) columns.push_back({part.name});
  core::Table table(columns);
  const std::vector<std::string>& names = parts.front().dataset->class_names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::vector<std::string> row{fmt::format("{}", i), names[i]};
    for (const Part& part : parts) row.push_back(core::format_thousands(part.class_counts.at(i)));
    table.add_row(std::move(row));
  }
  return table.text(terminal_width());
}

/// Least and largest sides of images whose sizes vary.
struct Sides {
  data::ImageShape least;
  data::ImageShape largest;
};

data::ImageShape shape_of(const data::Dataset& dataset, int64_t index) {
  const auto encoded = dataset.encoded(index);
  if (!encoded) {
    const at::Tensor image = dataset.sample(index).image;
    return {image.size(0), image.size(1), image.size(2)};
  }
  const std::span file(reinterpret_cast<const uint8_t*>(encoded->file.data()), encoded->file.size());
  const data::EncodedImage image(file, encoded->name, data::Channels::rgb);
  return {dataset.shape().channels, image.height(), image.width()};
}

Sides sides_of(const data::Dataset& dataset) {
  Sides sides{.least = shape_of(dataset, 0), .largest = shape_of(dataset, 0)};
  for (int64_t i = 1; i < dataset.size(); ++i) {
    const data::ImageShape shape = shape_of(dataset, i);
    sides.least.height = std::min(sides.least.height, shape.height);
    sides.least.width = std::min(sides.least.width, shape.width);
    sides.largest.height = std::max(sides.largest.height, shape.height);
    sides.largest.width = std::max(sides.largest.width, shape.width);
  }
  return sides;
}

/// What is said of the images of the training part.
struct ImageFacts {
  data::ImageShape shape;
  std::optional<Sides> sides;  // where they vary
  data::Normalize statistics;
  int64_t num_images = 0;  // that the sides and the statistics are of
  int64_t num_all = 0;
};

ImageFacts facts_of(const std::shared_ptr<const data::Dataset>& train) {
  const bool is_open = train->shape().is_open();
  const auto looked_at = is_open ? data::spread(train, kMaxFiles) : train;
  ImageFacts facts{.shape = train->shape(),
                   .sides = std::nullopt,
                   .statistics = data::channel_statistics(*looked_at),
                   .num_images = looked_at->size(),
                   .num_all = train->size()};
  if (is_open) facts.sides = sides_of(*looked_at);
  return facts;
}

Json side(int64_t pixels) { return pixels == data::ImageShape::kVaries ? Json() : Json(pixels); }

Json to_json(const DataArguments& arguments, const ImageFacts& facts, const std::vector<Part>& parts) {
  Json splits = Json::object();
  for (const Part& part : parts) splits[part.name] = to_json(part);
  Json json = Json::object(
      {{"dataset", arguments.dataset},
       {"shape", Json(Json::Array{Json(facts.shape.channels), side(facts.shape.height), side(facts.shape.width)})},
       {"splits", std::move(splits)},
       {"mean", Json::array(facts.statistics.mean)},
       {"stddev", Json::array(facts.statistics.stddev)},
       {"images_looked_at", facts.num_images}});
  if (facts.sides) {
    json["least_sides"] = Json::array(std::vector{facts.sides->least.height, facts.sides->least.width});
    json["largest_sides"] = Json::array(std::vector{facts.sides->largest.height, facts.sides->largest.width});
  }
  return json;
}

std::string facts_text(const ImageFacts& facts) {
  std::string text;
  if (facts.sides) {
    text += fmt::format("  sides  {} to {} high, {} to {} wide\n", facts.sides->least.height,
                        facts.sides->largest.height, facts.sides->least.width, facts.sides->largest.width);
  }
  text += fmt::format("  mean   [{:.4f}]\n  stddev [{:.4f}]\n", fmt::join(facts.statistics.mean, ", "),
                      fmt::join(facts.statistics.stddev, ", "));
  text += "         per channel, of the training images' pixels in 0..1\n";
  if (facts.num_images < facts.num_all) {
    text += fmt::format("         of {} images at equal distances\n", core::format_thousands(facts.num_images));
  }
  return text + "\n";
}

}  // namespace

int run_command(const DataArguments& arguments) {
  std::vector<Part> parts{open_part(arguments, data::Split::train)};
  if (data::has_own_val(arguments.dataset)) parts.push_back(open_part(arguments, data::Split::val));
  parts.push_back(open_part(arguments, data::Split::test));
  const ImageFacts facts = facts_of(parts.front().dataset);
  if (arguments.output.json) {
    print(to_json(arguments, facts, parts));
    return kDone;
  }
  std::string text = fmt::format("{}: images {}\n", arguments.dataset, data::to_string(facts.shape));
  for (const Part& part : parts)
    text += fmt::format("  {:<6} {:>9} samples\n", part.name, core::format_thousands(part.dataset->size()));
  print(text + facts_text(facts) + class_table(parts));
  return kDone;
}

}  // namespace limbeck::cli
