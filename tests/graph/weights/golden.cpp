#include "tests/graph/weights/golden.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

namespace limbeck::weights {
namespace {

struct TextForm {
  int depth;

  std::string of(PicklePtr value) const { return value == nullptr ? "-" : text_form(*value, depth - 1); }
  std::string of(const std::vector<PicklePtr>& items) const {
    std::vector<std::string> parts;
    for (const PicklePtr item : items) parts.push_back(of(item));
    return fmt::format("{}", fmt::join(parts, ", "));
  }
  std::string of(const std::vector<std::pair<PicklePtr, PicklePtr>>& entries) const {
    std::vector<std::string> parts;
    for (const auto& [key, value] : entries) parts.push_back(of(key) + ": " + of(value));
    return fmt::format("{}", fmt::join(parts, ", "));
  }

  std::string operator()(const PickleNone&) const { return "None"; }
  std::string operator()(bool v) const { return v ? "True" : "False"; }
  std::string operator()(std::int64_t v) const { return std::to_string(v); }
  std::string operator()(double v) const { return fmt::format("{}", v); }
  std::string operator()(const PickleBigInt& v) const { return fmt::format("big({})", v.bytes.size()); }
  std::string operator()(const PickleString& v) const { return "'" + v.text + "'"; }
  std::string operator()(const PickleBytes& v) const {
    std::string out = "b";
    for (const char c : v.bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
    return out;
  }
  std::string operator()(const PickleTuple& v) const { return "(" + of(v.items) + ")"; }
  std::string operator()(const PickleList& v) const { return "[" + of(v.items) + "]"; }
  std::string operator()(const PickleSet& v) const { return "set(" + of(v.items) + ")"; }
  std::string operator()(const PickleDict& v) const {
    return "{" + of(v.entries) + "}" + (v.state == nullptr ? "" : " with " + of(v.state));
  }
  std::string operator()(const PickleGlobal& v) const { return v.qualified(); }
  std::string operator()(const PickleObject& v) const {
    return fmt::format("<{} args {} state {} items [{}] entries [{}]>", class_of(v), of(v.args), of(v.state),
                       of(v.items), of(v.entries));
  }
  std::string operator()(const StorageRef& v) const { return fmt::format("{}({}, {})", v.type, v.key, v.numel); }
  std::string operator()(const TensorRef& v) const {
    return fmt::format("tensor({}, {}, [{}], [{}]{}{})", v.storage->key, v.offset, fmt::join(v.sizes, ", "),
                       fmt::join(v.strides, ", "), v.requires_grad ? ", grad" : "",
                       v.is_parameter ? ", parameter" : "");
  }
};

}  // namespace

at::Tensor pattern(at::IntArrayRef sizes, at::ScalarType dtype) {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) count *= size;
  return (at::arange(count, at::kDouble) * 0.25 - 1).to(dtype).reshape(sizes);
}

std::string text_form(const PickleValue& value, int depth) {
  return depth <= 0 ? "..." : std::visit(TextForm{depth}, value.data);
}

}  // namespace limbeck::weights
