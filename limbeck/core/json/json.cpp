#include "limbeck/core/json/json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "limbeck/core/error.h"

namespace limbeck::core {
namespace {

constexpr std::size_t kIndexFrom = 16;  // members; below, a linear search is faster

constexpr std::array<std::pair<std::string_view, double>, 3> kExtended = {
    {{"NaN", std::numeric_limits<double>::quiet_NaN()},
     {"Infinity", std::numeric_limits<double>::infinity()},
     {"-Infinity", -std::numeric_limits<double>::infinity()}}};

[[noreturn]] void fail_kind(const Json& value, std::string_view kind) {
  fail<IoError>("[json] must be {}, got {}", kind, value.summary());
}

// A comparison map rather than a hash table: hostile keys can't make it slow.
using Positions = std::map<std::string, std::size_t, std::less<>>;

}  // namespace

struct JsonObject::Index {
  Positions positions;
};

JsonObject::JsonObject() = default;
JsonObject::JsonObject(JsonObject&&) noexcept = default;
JsonObject& JsonObject::operator=(JsonObject&&) noexcept = default;
JsonObject::~JsonObject() = default;

JsonObject::JsonObject(std::initializer_list<Member> members) {
  for (const Member& member : members) insert(member.first, member.second);
}

JsonObject::JsonObject(const JsonObject& other)
    : members_(other.members_), index_(other.index_ ? std::make_unique<Index>(*other.index_) : nullptr) {}

JsonObject& JsonObject::operator=(const JsonObject& other) {
  JsonObject copy(other);
  return *this = std::move(copy);
}

std::size_t JsonObject::position(std::string_view key) const {
  if (index_ != nullptr) {
    const auto found = index_->positions.find(key);
    return found == index_->positions.end() ? members_.size() : found->second;
  }
  const auto found = std::find_if(members_.begin(), members_.end(), [&](const auto& m) { return m.first == key; });
  return static_cast<std::size_t>(found - members_.begin());
}

Json& JsonObject::insert(std::string key, Json value) {
  LIMBECK_CHECK(position(key) == members_.size(), "[json] duplicate key '{}'", key);
  members_.emplace_back(std::move(key), std::move(value));
  if (index_ != nullptr) {
    index_->positions.emplace(members_.back().first, members_.size() - 1);
  } else if (members_.size() >= kIndexFrom) {
    index_ = std::make_unique<Index>();
    for (std::size_t i = 0; i < members_.size(); ++i) index_->positions.emplace(members_[i].first, i);
  }
  return members_.back().second;
}

Json& JsonObject::operator[](std::string_view key) {
  Json* found = find(key);
  return found != nullptr ? *found : insert(std::string(key), Json());
}

const Json* JsonObject::find(std::string_view key) const {
  const std::size_t found = position(key);
  return found < members_.size() ? &members_[found].second : nullptr;
}

Json* JsonObject::find(std::string_view key) { return const_cast<Json*>(std::as_const(*this).find(key)); }

std::size_t JsonObject::size() const { return members_.size(); }
bool JsonObject::empty() const { return members_.empty(); }
std::vector<JsonObject::Member>::const_iterator JsonObject::begin() const { return members_.begin(); }
std::vector<JsonObject::Member>::const_iterator JsonObject::end() const { return members_.end(); }

bool operator==(const JsonObject& a, const JsonObject& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const auto& member) {
           const Json* other = b.find(member.first);
           return other != nullptr && member.second == *other;
         });
}

Json Json::number(double value) {
  if (std::isnan(value)) return kExtended[0].first;
  if (std::isinf(value)) return kExtended[value > 0 ? 1 : 2].first;
  return value;
}

bool Json::as_bool() const {
  if (const bool* value = std::get_if<bool>(&value_)) return *value;
  fail_kind(*this, "true or false");
}

std::int64_t Json::as_int() const {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return *value;
  fail_kind(*this, "an integer");
}

double Json::as_double() const {
  if (const double* value = std::get_if<double>(&value_)) return *value;
  if (!is_int()) fail_kind(*this, "a number");
  const std::int64_t integer = std::get<std::int64_t>(value_);
  const auto value = static_cast<double>(integer);
  const bool exact = value < 0x1p63 && static_cast<std::int64_t>(value) == integer;
  if (!exact) fail_kind(*this, "a number that a double holds exactly");
  return value;
}

double Json::as_extended_double() const {
  if (!is_string()) return as_double();
  for (const auto& [name, value] : kExtended)
    if (as_string() == name) return value;
  fail_kind(*this, "a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
}

const std::string& Json::as_string() const {
  if (const auto* value = std::get_if<std::string>(&value_)) return *value;
  fail_kind(*this, "a string");
}

const Json::Array& Json::as_array() const {
  if (const auto* value = std::get_if<Array>(&value_)) return *value;
  fail_kind(*this, "an array");
}

Json::Array& Json::as_array() { return const_cast<Array&>(std::as_const(*this).as_array()); }

const Json::Object& Json::as_object() const {
  if (const auto* value = std::get_if<Object>(&value_)) return *value;
  fail_kind(*this, "an object");
}

Json::Object& Json::as_object() { return const_cast<Object&>(std::as_const(*this).as_object()); }

Json& Json::operator[](std::string_view key) {
  if (is_null()) value_ = Object();
  return as_object()[key];
}

void Json::push_back(Json value) {
  if (is_null()) value_ = Array();
  as_array().push_back(std::move(value));
}

const Json* Json::find(std::string_view key) const {
  const auto* object = std::get_if<Object>(&value_);
  return object != nullptr ? object->find(key) : nullptr;
}

std::string Json::summary() const {
  constexpr std::size_t kMaxLength = 40;
  if (is_array()) return fmt::format("an array of {}", as_array().size());
  if (is_object()) return "an object";
  if (is_double() && !std::isfinite(as_double())) return fmt::format("{}", as_double());
  if (is_string() && as_string().size() > kMaxLength) {
    std::size_t end = kMaxLength - 3;
    while (end > 0 && (static_cast<unsigned char>(as_string()[end]) & 0xC0) == 0x80) --end;  // whole code points
    return Json(as_string().substr(0, end) + "...").dump();
  }
  return dump();
}

void Json::throw_integer_too_large(std::uint64_t value) {
  fail<InvalidArgument>("[json] integers go up to 2^63 - 1, got {}", value);
}

bool operator==(const Json& a, const Json& b) { return a.value_ == b.value_; }

}  // namespace limbeck::core
