#include "limbeck/core/utf8.h"

#include <gtest/gtest.h>

namespace limbeck::core {
namespace {

TEST(Utf8, TakesWhatIsValid) {
  for (const char* text : {"", "plain", "größe", "\u20ac", "\U0001f4a9", "\u0080", "\u0800", "\U0010ffff"})
    EXPECT_TRUE(is_utf8(text)) << text;
  EXPECT_TRUE(is_utf8(std::string_view("\0", 1)));
}

TEST(Utf8, RefusesWhatIsNot) {
  for (const char* text : {"\x80", "\xff", "\xc3", "\xc3(", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                           "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "ok\xe2\x82"})
    EXPECT_FALSE(is_utf8(text)) << printable(text);
}

TEST(Utf8, PrintsAnythingInMessages) {
  EXPECT_EQ(printable("a\n\xff"), "a\\x0a\\xff");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace limbeck::core
