// The textual strings of pickle protocol 0. Used by pickle.cpp alone.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace limbeck::weights {

/// UNICODE: Python's raw-unicode-escape (Latin-1 with \uXXXX and \UXXXXXXXX) as UTF-8; nothing where malformed.
std::optional<std::string> decode_raw_unicode(std::string_view text);

/// STRING: the repr of a Python 2 str, quotes included, as its bytes; nothing where malformed.
std::optional<std::string> decode_string_repr(std::string_view text);

/// UTF-8 of the first 256 characters as Latin-1 bytes: how protocols 0 to 2 carry bytes. Nothing for other text.
std::optional<std::string> encode_latin1(std::string_view utf8);

}  // namespace limbeck::weights
