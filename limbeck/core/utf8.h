// UTF-8 (RFC 3629): JSON and safetensors carry nothing else.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace limbeck::core {

/// Whether `text` is valid UTF-8: no overlong forms, surrogates or code points above U+10FFFF.
bool is_utf8(std::string_view text);

/// The first `max_bytes` bytes of any text for an error message: bytes outside printable ASCII as "\xhh".
std::string printable(std::string_view text, std::size_t max_bytes = 40);

}  // namespace limbeck::core
