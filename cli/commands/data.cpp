#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.h"
#include "cli/console.h"
#include "limbeck/core/format.h"
#include "limbeck/core/table.h"
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

int64_t label_of(const data::Dataset& dataset, const std::optional<data::PixelView>& view, int64_t index) {
  return view ? view->labels[view->row(index)] : dataset.sample(index).label;
}

Part open_part(const DataArguments& arguments, data::Split split) {
  data::OpenOptions options{.split = split};
  if (!arguments.path.empty()) options.path = arguments.path;
  Part part{.name = data::to_string(split), .dataset = data::open_dataset(arguments.dataset, options)};
  part.class_counts.resize(static_cast<std::size_t>(part.dataset->num_classes()));
  const std::optional<data::PixelView> view = part.dataset->pixels();
  for (int64_t i = 0; i < part.dataset->size(); ++i) {
    ++part.class_counts[static_cast<std::size_t>(label_of(*part.dataset, view, i))];
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

}  // namespace

int run_command(const DataArguments& arguments) {
  std::vector<Part> parts;
  for (const data::Split split : {data::Split::train, data::Split::test}) parts.push_back(open_part(arguments, split));
  const data::ImageShape shape = parts.front().dataset->shape();
  const data::Normalize statistics = data::channel_statistics(*parts.front().dataset);
  if (arguments.output.json) {
    Json splits = Json::object();
    for (const Part& part : parts) splits[part.name] = to_json(part);
    print(Json::object({{"dataset", arguments.dataset},
                        {"shape", Json::array(std::vector<int64_t>{shape.channels, shape.height, shape.width})},
                        {"splits", std::move(splits)},
                        {"mean", Json::array(statistics.mean)},
                        {"stddev", Json::array(statistics.stddev)}}));
    return kDone;
  }
  std::string text = fmt::format("{}: images {}\n", arguments.dataset, data::to_string(shape));
  for (const Part& part : parts)
    text += fmt::format("  {:<6} {:>9} samples\n", part.name, core::format_thousands(part.dataset->size()));
  text += fmt::format("  mean   [{:.4f}]\n  stddev [{:.4f}]\n", fmt::join(statistics.mean, ", "),
                      fmt::join(statistics.stddev, ", "));
  text += "         per channel, of the training images' pixels in 0..1\n\n";
  print(text + class_table(parts));
  return kDone;
}

}  // namespace limbeck::cli
