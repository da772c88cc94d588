// Internal to limbeck/graph: the words of the text form that printer and parser share.
#pragma once

#include <c10/core/Layout.h>
#include <c10/core/MemoryFormat.h>
#include <c10/core/ScalarType.h>

#include <optional>
#include <string>
#include <string_view>

namespace limbeck::graph {

/// "f32", "bf16", "i64", "bool", ... Throws Unsupported for dtypes that have no word (quantized ones).
std::string_view dtype_word(c10::ScalarType dtype);
std::optional<c10::ScalarType> dtype_of_word(std::string_view word);

std::string_view layout_word(c10::Layout layout);
std::optional<c10::Layout> layout_of_word(std::string_view word);

std::string_view memory_format_word(c10::MemoryFormat format);
std::optional<c10::MemoryFormat> memory_format_of_word(std::string_view word);

/// Letters, digits, '_' and '.'; not empty.
bool is_plain_name(std::string_view name);
/// `text` in quotes, with \" \\ \n and \xNN for other control characters.
std::string quote(std::string_view text);
/// The name as it stands when it is plain, else quoted.
std::string name_text(std::string_view name);

}  // namespace limbeck::graph
