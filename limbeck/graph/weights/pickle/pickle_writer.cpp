#include "limbeck/graph/weights/pickle/pickle_writer.h"

#include <cstring>
#include <limits>
#include <utility>

namespace limbeck::weights {
namespace {

template <class T>
void append_word(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

}  // namespace

PickleWriter::PickleWriter() : out_("\x80\x02") {}

void PickleWriter::integer(std::int64_t value) {
  if (value >= 0 && value <= std::numeric_limits<std::uint8_t>::max()) {
    out_ += 'K';
    append_word(out_, static_cast<std::uint8_t>(value));
  } else if (value >= std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max()) {
    out_ += 'J';
    append_word(out_, static_cast<std::int32_t>(value));
  } else {
    out_ += '\x8a';  // LONG1 of eight bytes
    out_ += '\x08';
    append_word(out_, value);
  }
}

void PickleWriter::real(double value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  out_ += 'G';  // most significant byte first
  for (int shift = 56; shift >= 0; shift -= 8) out_ += static_cast<char>(bits >> shift & 0xFF);
}

void PickleWriter::text(std::string_view value) {
  out_ += 'X';
  append_word(out_, static_cast<std::uint32_t>(value.size()));
  out_ += value;
}

void PickleWriter::global(std::string_view module, std::string_view name) {
  out_ += 'c';
  out_ += module;
  out_ += '\n';
  out_ += name;
  out_ += '\n';
}

void PickleWriter::integers(std::span<const std::int64_t> values) {
  mark();
  for (const std::int64_t value : values) integer(value);
  tuple();
}

void PickleWriter::empty_ordered_dict() {
  global("collections", "OrderedDict");
  out_ += ')';
  reduce();
}

std::string PickleWriter::finish() {
  out_ += '.';
  return std::exchange(out_, {});
}

}  // namespace limbeck::weights
