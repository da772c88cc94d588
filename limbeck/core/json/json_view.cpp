// JsonView: reading with the place named in every error.
#include <algorithm>
#include <cctype>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"

namespace limbeck::core {
namespace {

bool is_identifier(std::string_view text) {
  const auto is_word = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  return !text.empty() && std::isdigit(static_cast<unsigned char>(text[0])) == 0 &&
         std::all_of(text.begin(), text.end(), is_word);
}

std::string member_step(const std::string& key) {
  return is_identifier(key) ? "." + key : "[" + Json(key).summary() + "]";
}

// Appends the steps from `from` to `target`, found by address. Only errors pay for the search.
bool find_path(const Json& from, const Json* target, std::string& path) {
  if (&from == target) return true;
  const std::size_t length = path.size();
  if (from.is_array()) {
    for (std::size_t i = 0; i < from.as_array().size(); ++i) {
      path += fmt::format("[{}]", i);
      if (find_path(from.as_array()[i], target, path)) return true;
      path.resize(length);
    }
  } else if (from.is_object()) {
    for (const auto& [key, value] : from.as_object()) {
      path += member_step(key);
      if (find_path(value, target, path)) return true;
      path.resize(length);
    }
  }
  return false;
}

}  // namespace

std::string JsonView::path() const {
  std::string path(name_);
  find_path(*root_, value_, path);
  return path;
}

void JsonView::fail(std::string_view rule) const {
  ::limbeck::fail<IoError>("{} {}, got {}", path(), rule, value_->summary());
}

JsonView JsonView::operator[](std::string_view key) const {
  if (const Json* found = as_object().find(key)) return {root_, found, name_};
  std::vector<std::string> names;
  for (const auto& member : as_object()) names.push_back(member.first);
  ::limbeck::fail<IoError>("{} has no {}.{}", path(), Json(key).summary(), nearest_hint(key, names));
}

JsonView JsonView::operator[](std::size_t index) const {
  const Json::Array& array = as_array();
  if (index >= array.size())
    ::limbeck::fail<IoError>("{} has {} elements, there is no [{}]", path(), array.size(), index);
  return {root_, &array[index], name_};
}

JsonView JsonView::operator[](int index) const { return (*this)[static_cast<std::size_t>(index)]; }

std::optional<JsonView> JsonView::get(std::string_view key) const {
  const Json* found = as_object().find(key);
  if (found == nullptr || found->is_null()) return std::nullopt;
  return JsonView(root_, found, name_);
}

bool JsonView::as_bool() const {
  if (!value_->is_bool()) fail("must be true or false");
  return value_->as_bool();
}

std::int64_t JsonView::as_int() const {
  if (!value_->is_int()) fail("must be an integer");
  return value_->as_int();
}

std::int64_t JsonView::as_int(std::int64_t low, std::int64_t high) const {
  const std::int64_t value = as_int();
  if (value < low || value > high) fail(fmt::format("must lie in [{}, {}]", low, high));
  return value;
}

double JsonView::as_double() const {
  if (!value_->is_number()) fail("must be a number");
  try {
    return value_->as_double();
  } catch (const IoError&) {
    fail("must be a number that a double holds exactly");
  }
}

double JsonView::as_extended_double() const {
  if (!value_->is_string()) return as_double();
  try {
    return value_->as_extended_double();
  } catch (const IoError&) {
    fail("must be a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
  }
}

const std::string& JsonView::as_string() const {
  if (!value_->is_string()) fail("must be a string");
  return value_->as_string();
}

const Json::Array& JsonView::as_array() const {
  if (!value_->is_array()) fail("must be an array");
  return value_->as_array();
}

const Json::Object& JsonView::as_object() const {
  if (!value_->is_object()) fail("must be an object");
  return value_->as_object();
}

std::vector<std::int64_t> JsonView::as_ints() const {
  std::vector<std::int64_t> result;
  result.reserve(as_array().size());
  for (const JsonView& element : elements()) result.push_back(element.as_int());
  return result;
}

std::vector<std::string> JsonView::as_strings() const {
  std::vector<std::string> result;
  result.reserve(as_array().size());
  for (const JsonView& element : elements()) result.push_back(element.as_string());
  return result;
}

std::vector<JsonView> JsonView::elements() const {
  std::vector<JsonView> result;
  result.reserve(as_array().size());
  for (const Json& element : as_array()) result.push_back({root_, &element, name_});
  return result;
}

std::size_t JsonView::size() const {
  if (value_->is_object()) return value_->as_object().size();
  if (!value_->is_array()) fail("must be an array or an object");
  return value_->as_array().size();
}

std::vector<std::pair<std::string_view, JsonView>> JsonView::members() const {
  std::vector<std::pair<std::string_view, JsonView>> result;
  result.reserve(as_object().size());
  for (const auto& [key, value] : as_object()) result.push_back({key, JsonView(root_, &value, name_)});
  return result;
}

void JsonView::allow_only(std::initializer_list<std::string_view> known) const {
  for (const auto& [key, value] : as_object()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::vector<std::string> names(known.begin(), known.end());
    ::limbeck::fail<IoError>("{} has an unknown key {}.{}", path(), Json(key).summary(), nearest_hint(key, names));
  }
}

}  // namespace limbeck::core
