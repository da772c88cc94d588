#include "limbeck/graph/weights/pickle/pickle_value.h"

#include <fmt/core.h>

#include "limbeck/core/utf8.h"

namespace limbeck::weights {
namespace {

struct Describe {
  std::string operator()(const PickleNone&) const { return "None"; }
  std::string operator()(bool) const { return "a bool"; }
  std::string operator()(std::int64_t) const { return "an int"; }
  std::string operator()(double) const { return "a float"; }
  std::string operator()(const PickleBigInt&) const { return "a large int"; }
  std::string operator()(const PickleString&) const { return "a string"; }
  std::string operator()(const PickleBytes&) const { return "bytes"; }
  std::string operator()(const PickleTuple& v) const { return fmt::format("a tuple of {}", v.items.size()); }
  std::string operator()(const PickleList& v) const { return fmt::format("a list of {}", v.items.size()); }
  std::string operator()(const PickleSet& v) const { return fmt::format("a set of {}", v.items.size()); }
  std::string operator()(const PickleDict& v) const { return fmt::format("a dict with {} entries", v.entries.size()); }
  std::string operator()(const PickleGlobal& v) const { return "the name " + core::printable(v.qualified()); }
  std::string operator()(const PickleObject& v) const {
    const std::string name = class_of(v);
    return name.empty() ? "an object of unknown class" : "an object of class " + core::printable(name);
  }
  std::string operator()(const StorageRef& v) const { return "a " + core::printable(v.type); }
  std::string operator()(const TensorRef& v) const { return fmt::format("a {}-D tensor", v.sizes.size()); }
};

bool is_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}

}  // namespace

const std::string* text_of(const PickleValue& value) {
  if (const auto* string = value.get_if<PickleString>()) return &string->text;
  if (const auto* bytes = value.get_if<PickleBytes>()) return is_ascii(bytes->bytes) ? &bytes->bytes : nullptr;
  return nullptr;
}

PicklePtr find_string(const PickleDict& dict, std::string_view key) {
  for (auto it = dict.entries.rbegin(); it != dict.entries.rend(); ++it) {
    const std::string* text = text_of(*it->first);
    if (text != nullptr && *text == key) return it->second;
  }
  return nullptr;
}

std::string class_of(const PickleObject& object) {
  const auto* callable = object.callable == nullptr ? nullptr : object.callable->get_if<PickleGlobal>();
  if (callable == nullptr) return {};
  // Protocols 0 and 1 build objects as copyreg._reconstructor(cls, base, state).
  const bool indirect = callable->name == "_reconstructor" || callable->name == "__newobj__";
  if (!indirect) return callable->qualified();
  const auto* args = object.args == nullptr ? nullptr : object.args->get_if<PickleTuple>();
  if (args == nullptr || args->items.empty()) return {};
  const auto* made = args->items[0]->get_if<PickleGlobal>();
  return made == nullptr ? std::string() : made->qualified();
}

std::string describe(const PickleValue& value) { return std::visit(Describe{}, value.data); }

}  // namespace limbeck::weights
