#include "limbeck/graph/text/words.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <utility>

#include "limbeck/core/error.h"

namespace limbeck::graph {

namespace {

template <class T>
struct Word {
  T value;
  std::string_view text;
};

constexpr Word<c10::ScalarType> kDtypes[] = {
    {c10::ScalarType::Byte, "u8"},
    {c10::ScalarType::Char, "i8"},
    {c10::ScalarType::Short, "i16"},
    {c10::ScalarType::Int, "i32"},
    {c10::ScalarType::Long, "i64"},
    {c10::ScalarType::UInt16, "u16"},
    {c10::ScalarType::UInt32, "u32"},
    {c10::ScalarType::UInt64, "u64"},
    {c10::ScalarType::Half, "f16"},
    {c10::ScalarType::BFloat16, "bf16"},
    {c10::ScalarType::Float, "f32"},
    {c10::ScalarType::Double, "f64"},
    {c10::ScalarType::ComplexHalf, "c32"},
    {c10::ScalarType::ComplexFloat, "c64"},
    {c10::ScalarType::ComplexDouble, "c128"},
    {c10::ScalarType::Bool, "bool"},
    {c10::ScalarType::Float8_e5m2, "f8_e5m2"},
    {c10::ScalarType::Float8_e4m3fn, "f8_e4m3"},
};

constexpr Word<c10::Layout> kLayouts[] = {
    {c10::Layout::Strided, "strided"},      {c10::Layout::Sparse, "sparse"},
    {c10::Layout::SparseCsr, "sparse_csr"}, {c10::Layout::Mkldnn, "mkldnn"},
    {c10::Layout::SparseCsc, "sparse_csc"}, {c10::Layout::SparseBsr, "sparse_bsr"},
    {c10::Layout::SparseBsc, "sparse_bsc"}, {c10::Layout::Jagged, "jagged"},
};

constexpr Word<c10::MemoryFormat> kMemoryFormats[] = {
    {c10::MemoryFormat::Contiguous, "contiguous_format"},
    {c10::MemoryFormat::Preserve, "preserve_format"},
    {c10::MemoryFormat::ChannelsLast, "channels_last"},
    {c10::MemoryFormat::ChannelsLast3d, "channels_last_3d"},
};

template <class T, std::size_t N>
std::string_view word_of(const Word<T> (&words)[N], T value, const char* kind) {
  for (const Word<T>& word : words) {
    if (word.value == value) return word.text;
  }
  fail<Unsupported>("[graph] {} {} has no text form", kind, static_cast<int>(value));
}

template <class T, std::size_t N>
std::optional<T> value_of(const Word<T> (&words)[N], std::string_view text) {
  for (const Word<T>& word : words) {
    if (word.text == text) return word.value;
  }
  return std::nullopt;
}

}  // namespace

std::string_view dtype_word(c10::ScalarType dtype) { return word_of(kDtypes, dtype, "dtype"); }
std::optional<c10::ScalarType> dtype_of_word(std::string_view word) { return value_of(kDtypes, word); }
std::string_view layout_word(c10::Layout layout) { return word_of(kLayouts, layout, "layout"); }
std::optional<c10::Layout> layout_of_word(std::string_view word) { return value_of(kLayouts, word); }
std::string_view memory_format_word(c10::MemoryFormat format) {
  return word_of(kMemoryFormats, format, "memory format");
}
std::optional<c10::MemoryFormat> memory_format_of_word(std::string_view word) { return value_of(kMemoryFormats, word); }

bool is_plain_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
  });
}

std::string quote(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      result += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string name_text(std::string_view name) { return is_plain_name(name) ? std::string(name) : quote(name); }

}  // namespace limbeck::graph
