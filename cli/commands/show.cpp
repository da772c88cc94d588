#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/preparation.h"
#include "cli/type_text.h"
#include "limbeck/core/table.h"
#include "limbeck/graph/text/text.h"
#include "limbeck/load/load.h"
#include "limbeck/zoo/zoo.h"

namespace limbeck::cli {

namespace {

using core::Json;
using core::Table;

std::string scope_text(const graph::Graph& graph, const graph::Node& node) {
  const std::string& path = graph.scope(node.scope).path;
  return node.call == 0 ? path : fmt::format("{}@{}", path, node.call);
}

std::string types_text(const graph::Node& node) {
  std::vector<std::string> types;
  for (const graph::Type& type : node.types) types.push_back(type_text(type));
  return fmt::format("{}", fmt::join(types, ", "));
}

bool is_structural(const graph::Node& node) {
  return node.op->is("limbeck::input") || node.op->is("limbeck::parameter");
}

std::string nodes_table(const graph::Graph& graph) {
  Table table({{"name", Table::Align::left},
               {"op", Table::Align::left},
               {"scope", Table::Align::left},
               {"shape", Table::Align::left}});
  for (const graph::NodeId id : graph.order()) {
    const graph::Node& node = graph.node(id);
    if (is_structural(node)) continue;
    table.add_row(
        {fmt::format("{}", fmt::join(node.names, ", ")), node.op->name, scope_text(graph, node), types_text(node)});
  }
  return table.text(terminal_width());
}

Json nodes_json(const graph::Graph& graph) {
  Json::Array nodes;
  for (const graph::NodeId id : graph.order()) {
    const graph::Node& node = graph.node(id);
    nodes.push_back(Json::object({{"names", Json::array(node.names)},
                                  {"op", node.op->name},
                                  {"scope", scope_text(graph, node)},
                                  {"types", types_text(node)}}));
  }
  return Json(std::move(nodes));
}

/// The first of many names.
std::string names_text(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 20;
  const std::vector<std::string> first(names.begin(),
                                       names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kMost)));
  return fmt::format("{}{}", fmt::join(first, ", "),
                     names.size() > kMost ? fmt::format(", ... ({})", names.size()) : std::string());
}

/// What images the model takes, and what its outputs mean, as far as its file says it.
std::string images_table(const graph::Graph& graph) {
  Table table({{"input", Table::Align::left}, {"images", Table::Align::left}, {"classes", Table::Align::left}});
  const std::optional<data::Preprocessing> preprocessing = own_preprocessing(graph);
  const std::vector<std::string> labels = own_labels(graph);
  if (!preprocessing && labels.empty()) return {};
  table.add_row({preprocessing ? data::to_string(preprocessing->shape) : std::string(),
                 preprocessing ? data::to_text(*preprocessing) : std::string(), names_text(labels)});
  return "\n" + table.text(terminal_width());
}

Json preprocessing_json(const graph::Graph& graph) {
  const auto preprocessing = own_preprocessing(graph);
  return preprocessing ? core::parse_json(data::to_json(*preprocessing)) : Json(nullptr);
}

int show_zoo(const OutputOptions& output) {
  Json::Array entries;
  Table table({{"name", Table::Align::left}, {"what", Table::Align::left}, {"options", Table::Align::left}});
  for (const zoo::ZooEntry& entry : zoo::list()) {
    entries.push_back(
        Json::object({{"name", entry.name}, {"summary", entry.summary}, {"options", Json::array(entry.options)}}));
    table.add_row({entry.name, entry.summary, fmt::format("{}", fmt::join(entry.options, ", "))});
  }
  if (output.json) {
    print(Json::object({{"zoo", Json(std::move(entries))}}));
  } else {
    print(table.text(terminal_width()));
    print(std::string("\nOptions follow the name: resnet_basic?widths=8,16,32&blocks=1,1,1&in_channels=1\n"));
  }
  return kDone;
}

}  // namespace

int run_command(const ShowArguments& arguments) {
  if (arguments.zoo) return show_zoo(arguments.output);
  if (arguments.model.empty()) {
    fmt::print(stderr, "limbeck: name a model (zoo name, .lmb or .pt2), or --zoo for what there is\n");
    return kWrongUsage;
  }
  const Model model = load(arguments.model);
  const graph::Graph& graph = model.graph();
  if (arguments.output.json) {
    print(Json::object({{"nodes", nodes_json(graph)},
                        {"text", graph::print(graph)},
                        {"preprocessing", preprocessing_json(graph)},
                        {"labels", Json::array(own_labels(graph))}}));
  } else {
    print(arguments.table ? nodes_table(graph) + images_table(graph) : graph::print(graph));
  }
  return kDone;
}

}  // namespace limbeck::cli
