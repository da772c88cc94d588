// Json to text.
#include <charconv>
#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"
#include "limbeck/core/utf8.h"

namespace limbeck::core {
namespace {

class Writer {
 public:
  explicit Writer(int indent) : indent_(indent) {}

  void write(const Json& value) {
    if (value.is_null()) {
      text_ += "null";
    } else if (value.is_bool()) {
      text_ += value.as_bool() ? "true" : "false";
    } else if (value.is_int()) {
      text_ += std::to_string(value.as_int());
    } else if (value.is_double()) {
      write_double(value.as_double());
    } else if (value.is_string()) {
      write_string(value.as_string());
    } else if (value.is_array()) {
      write_array(value.as_array());
    } else {
      write_object(value.as_object());
    }
  }

  std::string take() { return std::move(text_); }

 private:
  void write_double(double value) {
    LIMBECK_CHECK(std::isfinite(value), "[json] JSON has no {}. Use Json::number.", value);
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
    const std::string_view digits(buffer, static_cast<std::size_t>(end - buffer));
    text_ += digits;
    if (digits.find_first_of(".e") == std::string_view::npos) text_ += ".0";  // or it would be read as an integer
  }

  void write_string(const std::string& value) {
    LIMBECK_CHECK(is_utf8(value), "[json] a string of {} bytes is not UTF-8: \"{}\"", value.size(), printable(value));
    text_ += '"';
    const char* plain = value.data();  // a run of characters that need no escape
    const char* const end = value.data() + value.size();
    for (const char* at = plain; at != end; ++at) {
      if (*at != '"' && *at != '\\' && static_cast<unsigned char>(*at) >= 0x20) continue;
      text_.append(plain, at);
      write_escaped(*at);
      plain = at + 1;
    }
    text_.append(plain, end);
    text_ += '"';
  }

  void write_escaped(char c) {
    switch (c) {
      case '"':
        text_ += "\\\"";
        return;
      case '\\':
        text_ += "\\\\";
        return;
      case '\b':
        text_ += "\\b";
        return;
      case '\f':
        text_ += "\\f";
        return;
      case '\n':
        text_ += "\\n";
        return;
      case '\r':
        text_ += "\\r";
        return;
      case '\t':
        text_ += "\\t";
        return;
      default:
        text_ += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    }
  }

  void write_array(const Json::Array& array) {
    text_ += '[';
    ++depth_;
    for (std::size_t i = 0; i < array.size(); ++i) {
      if (i > 0) text_ += indent_ < 0 ? ", " : ",";
      new_line();
      write(array[i]);
    }
    --depth_;
    if (!array.empty()) new_line();
    text_ += ']';
  }

  void write_object(const Json::Object& object) {
    text_ += '{';
    ++depth_;
    bool first = true;
    for (const auto& [key, value] : object) {
      if (!first) text_ += indent_ < 0 ? ", " : ",";
      first = false;
      new_line();
      write_string(key);
      text_ += ": ";
      write(value);
    }
    --depth_;
    if (!object.empty()) new_line();
    text_ += '}';
  }

  void new_line() {
    if (indent_ < 0) return;
    text_ += '\n';
    text_.append(static_cast<std::size_t>(depth_) * static_cast<std::size_t>(indent_), ' ');
  }

  int indent_;
  int depth_ = 0;
  std::string text_;
};

}  // namespace

std::string Json::dump(int indent) const {
  Writer writer(indent);
  writer.write(*this);
  return writer.take();
}

}  // namespace limbeck::core
