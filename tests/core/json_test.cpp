#include "limbeck/core/json/json.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "limbeck/core/error.h"
#include "tests/support/mutation.h"

namespace limbeck::core {
namespace {

template <class E = IoError>
std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return "no exception";
}

std::string parse_message(std::string_view text, const JsonLimits& limits = {}) {
  return message_of([&] { parse_json(text, "x.json", limits); });
}

TEST(Json, ParsesEveryKind) {
  const Json json = parse_json(R"( {"a": [null, true, false, -7, 1.5, "s\u00e9\n"], "b": {}, "c": []} )");
  const Json::Array& a = json.find("a")->as_array();
  EXPECT_TRUE(a[0].is_null());
  EXPECT_TRUE(a[1].as_bool());
  EXPECT_FALSE(a[2].as_bool());
  EXPECT_EQ(a[3].as_int(), -7);
  EXPECT_EQ(a[4].as_double(), 1.5);
  EXPECT_EQ(a[5].as_string(), "s\u00e9\n");
  EXPECT_TRUE(json.find("b")->as_object().empty());
  EXPECT_TRUE(json.find("c")->as_array().empty());
  EXPECT_EQ(json.find("d"), nullptr);
  EXPECT_EQ(a[0].find("x"), nullptr);
}

TEST(Json, KeepsTheOrderOfMembers) {
  const std::string text = R"({"z": 1, "a": 2, "m": 3})";
  EXPECT_EQ(parse_json(text).dump(), text);
}

TEST(Json, DumpsWithAndWithoutIndent) {
  Json json = Json::object({{"a", Json::array(std::vector<int>{1, 2})}, {"e", Json::Array{}}, {"o", Json::object()}});
  EXPECT_EQ(json.dump(), R"({"a": [1, 2], "e": [], "o": {}})");
  EXPECT_EQ(json.dump(2), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"e\": [],\n  \"o\": {}\n}");
  EXPECT_EQ(parse_json(json.dump(2)), json);
}

TEST(Json, DoublesRoundTripToTheBit) {
  for (double value : {0.0, -0.0, 1.0, -2.0, 0.1, 1e22, 1e23, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308,
                       3.141592653589793, 123456789012345680.0, -1e-7}) {
    const std::string text = Json(value).dump();
    const Json back = parse_json(text);
    ASSERT_TRUE(back.is_double()) << text;
    EXPECT_EQ(std::bit_cast<std::uint64_t>(back.as_double()), std::bit_cast<std::uint64_t>(value)) << text;
  }
  EXPECT_EQ(Json(1.0).dump(), "1.0");
  EXPECT_EQ(Json(0.1f).dump(), "0.10000000149011612");
}

TEST(Json, IntegersAreInt64AndNeverRounded) {
  for (std::int64_t value : {std::int64_t{0}, INT64_MAX, INT64_MIN, (std::int64_t{1} << 53) + 1})
    EXPECT_EQ(parse_json(Json(value).dump()).as_int(), value);
  EXPECT_EQ(parse_message("9223372036854775808"), "[json] x.json:1:19: integer 9223372036854775808 is too large");
  EXPECT_EQ(parse_message("-9223372036854775809"), "[json] x.json:1:20: integer -9223372036854775809 is too large");
  EXPECT_EQ(parse_message("[123456789012345678901234567890]"),
            "[json] x.json:1:31: integer 123456789012345678901234567890 is too large");
  EXPECT_EQ(Json(7).as_double(), 7.0);
  EXPECT_THROW(Json((std::int64_t{1} << 53) + 1).as_double(), IoError);
  EXPECT_THROW(Json(INT64_MAX).as_double(), IoError);
  EXPECT_EQ(Json(INT64_MIN).as_double(), -0x1p63);
  EXPECT_THROW(Json(UINT64_MAX), InvalidArgument);
  EXPECT_THROW(Json(1.5).as_int(), IoError);
}

TEST(Json, CarriesNanAndInfinityAsStrings) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(Json::number(infinity).dump(), "\"Infinity\"");
  EXPECT_EQ(Json::number(-infinity).as_extended_double(), -infinity);
  EXPECT_TRUE(std::isnan(Json::number(NAN).as_extended_double()));
  EXPECT_EQ(Json::number(2.5).as_extended_double(), 2.5);
  EXPECT_EQ(Json(3).as_extended_double(), 3.0);
  EXPECT_THROW(Json("infinite").as_extended_double(), IoError);
  EXPECT_THROW(Json::number(NAN).as_double(), IoError);
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)Json(infinity).dump(); }),
            "[json] JSON has no inf. Use Json::number.");
  EXPECT_EQ(parse_message("[1e999]").substr(0, 30), "[json] x.json:1:6: number over");
  EXPECT_NE(parse_message("NaN"), "no exception");
  EXPECT_NE(parse_message("Infinity"), "no exception");
}

TEST(Json, EscapesStrings) {
  const std::string text("\"\\/\b\f\n\r\t\0\x1f\x7f\u00e9\U0001f600", 17);
  EXPECT_EQ(Json(text).dump(), "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\u00e9\U0001f600\"");
  EXPECT_EQ(parse_json(Json(text).dump()).as_string(), text);
  EXPECT_EQ(parse_json("\"\\ud83d\\ude00\"").as_string(), "\U0001f600");
  EXPECT_EQ(message_of<InvalidArgument>([] { (void)Json("a\xff").dump(); }),
            "[json] a string of 2 bytes is not UTF-8: \"a\\xff\"");
}

/// A graph is one string of thousands of characters.
TEST(Json, QuotesLittleOfALongString) {
  std::string text = "\"" + std::string(5000, 'x') + "é\n\"";
  const std::string message = parse_message(text);
  EXPECT_LT(message.size(), 300U) << message;
  EXPECT_NE(message.find("last read: '…xxx"), std::string::npos) << message;
  EXPECT_NO_THROW((void)Json(message).dump()) << "UTF-8";
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text : {"",         " ",           "{",   "[1,]",  "{\"a\":1,}", "{a:1}",     "'a'",    "01",
                           "+1",       ".5",          "1.",  "[1] 2", "// c\n1",    "/* c */ 1", "\"\t\"", "\"\\x\"",
                           "\"\xff\"", "\"\\ud800\"", "nul", "tru",   "[",          "]",         "\"open"})
    EXPECT_NE(parse_message(text), "no exception") << text;
}

TEST(Json, NamesThePlaceOfAnError) {
  EXPECT_EQ(parse_message("{\n  \"a\": 1,\n  \"b\" 2\n}").substr(0, 18), "[json] x.json:3:7:");
  EXPECT_EQ(parse_message("[1, 2").substr(0, 18), "[json] x.json:1:5:");
  EXPECT_EQ(parse_message("[\n99999999999999999999\n]"),
            "[json] x.json:2:20: integer 99999999999999999999 is too large");
  EXPECT_EQ(parse_message("{\"a\": 1,\n \"a\": 2}"), "[json] x.json:2:4: duplicate key \"a\"");
  EXPECT_EQ(parse_message("[1] 2"),
            "[json] x.json:1:5: syntax error while parsing value - unexpected number literal; expected end of input");
}

TEST(Json, KeepsItsLimits) {
  EXPECT_EQ(parse_message("[[[1]]]", {.max_depth = 2}), "[json] x.json:1:3: nested deeper than 2 levels");
  EXPECT_EQ(parse_message("[[1]]", {.max_depth = 2}), "no exception");
  EXPECT_EQ(parse_message("[1, 2, 3]", {.max_values = 3}), "[json] x.json:1:8: more than 3 values");
  EXPECT_EQ(parse_message("{\"a\": 1, \"b\": 2}", {.max_values = 4}), "[json] x.json:1:15: more than 4 values");
  EXPECT_EQ(parse_message("[1, 2, 3]", {.max_bytes = 8}), "[json] x.json has 9 bytes, the limit is 8");
  EXPECT_EQ(parse_message(std::string(1'000'000, '[')), "[json] x.json:1:129: nested deeper than 128 levels");
}

TEST(Json, ObjectsOfManyMembersFindThem) {
  Json json;
  for (int i = 0; i < 1000; ++i) json["key" + std::to_string(i)] = i;
  for (const Json& each : {json, parse_json(json.dump())}) {
    ASSERT_EQ(each.as_object().size(), 1000u);
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(each.find("key" + std::to_string(i))->as_int(), i);
    EXPECT_EQ(each.find("key1000"), nullptr);
  }
  json["key7"] = "changed";
  EXPECT_EQ(json.as_object().size(), 1000u);
  EXPECT_THROW(json.as_object().insert("key999", 1), InvalidArgument);
  Json copy = json;
  copy["more"] = 1;
  EXPECT_EQ(json.find("more"), nullptr);
  EXPECT_EQ(copy.find("more")->as_int(), 1);
}

TEST(Json, ComparesByValue) {
  EXPECT_EQ(parse_json("{\"a\": 1, \"b\": [2]}"), parse_json("{\"b\": [2], \"a\": 1}"));
  EXPECT_FALSE(parse_json("[1, 2]") == parse_json("[2, 1]"));
  EXPECT_FALSE(Json(1) == Json(1.0)) << "an integer is no double";
  EXPECT_FALSE(parse_json("{\"a\": 1}") == parse_json("{\"a\": 1, \"b\": 2}"));
}

TEST(Json, BuildsInPlace) {
  Json json;
  json["list"].push_back(1);
  json["list"].push_back("two");
  json["deep"]["er"] = nullptr;
  EXPECT_EQ(json.dump(), R"({"list": [1, "two"], "deep": {"er": null}})");
  EXPECT_THROW(json["list"]["x"], IoError);
  EXPECT_THROW(json["deep"].push_back(1), IoError);
}

TEST(Json, SummariesAreShort) {
  EXPECT_EQ(Json("x").summary(), "\"x\"");
  EXPECT_EQ(parse_json("[1, 2]").summary(), "an array of 2");
  EXPECT_EQ(Json::object().summary(), "an object");
  EXPECT_EQ(Json(NAN).summary(), "nan");
  EXPECT_EQ(Json(std::string(100, 'a')).summary(), "\"" + std::string(37, 'a') + "...\"");
  std::string wide;
  for (int i = 0; i < 50; ++i) wide += "\u20ac";
  EXPECT_LE(Json(wide).summary().size(), 42u);
}

class JsonViewTest : public ::testing::Test {
 protected:
  Json json_ = parse_json(R"({
    "layers": [{"width": 8}, {"width": "x"}, {"width": 3.5, "name of": null}],
    "n": 9007199254740993, "flag": true, "names": ["a", 1], "inf": "Infinity"})");
  JsonView view_{json_, "config"};

  std::string message(const std::function<void()>& call) { return message_of(call); }
};

TEST_F(JsonViewTest, ReadsTypedValues) {
  EXPECT_EQ(view_["layers"][0]["width"].as_int(), 8);
  EXPECT_EQ(view_["layers"][0]["width"].as_double(), 8.0);
  EXPECT_EQ(view_["layers"][1]["width"].as_string(), "x");
  EXPECT_TRUE(view_["flag"].as_bool());
  EXPECT_EQ(view_["layers"].size(), 3u);
  EXPECT_EQ(view_.members().front().first, "layers");
  EXPECT_EQ(view_["layers"].elements()[2].path(), "config.layers[2]");
  EXPECT_TRUE(std::isinf(view_["inf"].as_extended_double()));
  EXPECT_FALSE(view_["layers"][2].has("name of")) << "null is as if missing";
  EXPECT_TRUE(view_["layers"][2]["name of"].is_null());
  EXPECT_EQ(view_.get("flag")->as_bool(), true);
  EXPECT_FALSE(view_.get("missing").has_value());
}

TEST_F(JsonViewTest, NamesThePlaceInErrors) {
  EXPECT_EQ(message([&] { view_["layers"][1]["width"].as_int(); }),
            "config.layers[1].width must be an integer, got \"x\"");
  EXPECT_EQ(message([&] { view_["layers"][2]["width"].as_int(); }),
            "config.layers[2].width must be an integer, got 3.5");
  EXPECT_EQ(message([&] { view_["layers"][2]["name of"].as_bool(); }),
            "config.layers[2][\"name of\"] must be true or false, got null");
  EXPECT_EQ(message([&] { view_["layers"][0]["width"].as_int(1, 4); }),
            "config.layers[0].width must lie in [1, 4], got 8");
  EXPECT_EQ(message([&] { view_["layers"]["x"]; }), "config.layers must be an object, got an array of 3");
  EXPECT_EQ(message([&] { view_["flag"][0]; }), "config.flag must be an array, got true");
  EXPECT_EQ(message([&] { view_["layers"][3]; }), "config.layers has 3 elements, there is no [3]");
  EXPECT_EQ(message([&] { view_["names"].as_strings(); }), "config.names[1] must be a string, got 1");
  EXPECT_EQ(message([&] { view_["names"].as_ints(); }), "config.names[0] must be an integer, got \"a\"");
  EXPECT_EQ(message([&] { view_["n"].as_double(); }),
            "config.n must be a number that a double holds exactly, got 9007199254740993");
  EXPECT_EQ(message([&] { view_["names"][0].as_extended_double(); }),
            "config.names[0] must be a number, \"NaN\", \"Infinity\" or \"-Infinity\", got \"a\"");
  EXPECT_EQ(message([&] { view_["flag"].size(); }), "config.flag must be an array or an object, got true");
  EXPECT_EQ(message([&] { view_.fail("must be better"); }), "config must be better, got an object");
}

TEST_F(JsonViewTest, NamesTheNearestKey) {
  EXPECT_EQ(message([&] { view_["layer"]; }), "config has no \"layer\". Nearest: layers.");
  EXPECT_EQ(message([&] { view_["zzz"]; }), "config has no \"zzz\".");
  EXPECT_EQ(message([&] {
              view_["layers"][0].allow_only({"widths", "depth"});
            }),
            "config.layers[0] has an unknown key \"width\". Nearest: widths.");
  EXPECT_NO_THROW(view_["layers"][0].allow_only({"width"}));
}

TEST(JsonFuzz, EveryMutationIsReadOrRefused) {
  const std::string text =
      R"({"__metadata__": {"format": "pt"}, "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
          "n": [1, -2.5e-3, true, null, "\u00e9\n", [[], {}]], "big": 9223372036854775807})";
  const auto read = [](const std::string& input) {
    const Json json = parse_json(input);
    ASSERT_EQ(parse_json(json.dump()), json) << input;
  };
  read(text);
  const auto counts = testing::fuzz_reader(text, read, {.max_allocation_bytes = std::size_t{4} << 20});
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

}  // namespace
}  // namespace limbeck::core
