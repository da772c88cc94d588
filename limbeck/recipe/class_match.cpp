#include "limbeck/recipe/class_match.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/format.h"
#include "limbeck/data/files/class_names.h"

namespace limbeck::recipe {

namespace {

std::vector<std::string> numbers(std::size_t count) { return data::numbered_class_names(static_cast<int64_t>(count)); }

/// The place of each name of `data` in `model`; nothing where one is not there.
std::optional<std::vector<int64_t>> places(const std::vector<std::string>& model,
                                           const std::vector<std::string>& data) {
  std::map<std::string, int64_t> place_of;
  for (std::size_t i = 0; i < model.size(); ++i) place_of.emplace(model[i], static_cast<int64_t>(i));
  std::vector<int64_t> found;
  for (const std::string& name : data) {
    const auto place = place_of.find(name);
    if (place == place_of.end()) return std::nullopt;
    found.push_back(place->second);
  }
  return found;
}

std::string note_of(const ModelClasses& model, std::size_t count, const char* how) {
  const auto classes = static_cast<int64_t>(count);
  if (classes == model.count) return fmt::format("its classes stand in another order than the data's: {}", how);
  return fmt::format("the data has {} of its {} classes, {}", core::format_thousands(classes),
                     core::format_thousands(model.count), how);
}

void check_named(const ModelClasses& model, const std::vector<std::string>& data, const std::string& where) {
  for (const std::string& name : data) {
    const bool is_there = std::find(model.names.begin(), model.names.end(), name) != model.names.end();
    LIMBECK_CHECK(is_there,
                  "{} has {} classes, and none of them is called '{}' as one of the data's {} is.{} Give the data's "
                  "classes the model's names.",
                  where, model.count, name, data.size(), nearest_hint(name, model.names));
  }
}

}  // namespace

ModelClasses classes_of(const graph::Graph& graph, int64_t count) {
  ModelClasses classes{.count = count};
  const auto found = graph.metadata.find(graph::kLabelsKey);
  if (found == graph.metadata.end()) return classes;
  const core::Json json = core::parse_json(found->second, graph::kLabelsKey);
  std::vector<std::string> names = core::JsonView(json, graph::kLabelsKey).as_strings();
  if (std::cmp_equal(names.size(), count)) classes.names = std::move(names);
  return classes;
}

ClassMatch match_classes(const ModelClasses& model, const std::vector<std::string>& data, const std::string& where) {
  LIMBECK_CHECK(std::cmp_less_equal(data.size(), model.count), "{} has {} classes and the data has {}.", where,
                model.count, data.size());
  const std::vector<std::string> names =
      model.names.empty() ? numbers(static_cast<std::size_t>(model.count)) : model.names;
  const bool are_unnamed = model.names.empty() && std::cmp_equal(data.size(), model.count);
  if (are_unnamed || names == data) return {};
  const bool are_numbers = data == numbers(data.size());
  if (const auto found = places(names, data)) {
    const char* how = are_numbers ? "taken by their numbers" : "found by their names";
    return {.classes = *found, .note = note_of(model, data.size(), how)};
  }
  const bool are_as_many = std::cmp_equal(data.size(), model.count);
  if (!are_numbers && !are_as_many && !model.names.empty()) check_named(model, data, where);
  return {.classes = {}, .note = are_as_many ? std::string() : note_of(model, data.size(), "taken by their numbers")};
}

}  // namespace limbeck::recipe
