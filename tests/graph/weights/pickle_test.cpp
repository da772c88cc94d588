#include "limbeck/graph/weights/pickle/pickle.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "limbeck/core/error.h"
#include "tests/graph/weights/golden.h"
#include "tests/support/allocation_guard.h"
#include "tests/support/mutation.h"

namespace limbeck::weights {
namespace {

using namespace std::string_view_literals;

PickleDocument read(std::string_view pickle) { return read_pickle(core::as_bytes(pickle), "test"); }

std::string text_of_pickle(std::string_view pickle) { return text_form(*read(pickle).root); }

std::string message_of(std::string_view pickle) {
  try {
    read(pickle);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  out.reserve(text.size() * times);
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

/// Entry `key` of a dict, as text.
std::string entry(const PickleDocument& document, std::string_view key) {
  const auto* dict = document.root->get_if<PickleDict>();
  const PicklePtr value = dict == nullptr ? nullptr : find_string(*dict, key);
  return value == nullptr ? "missing" : text_form(*value);
}

class PickleProtocol : public ::testing::TestWithParam<int> {};

TEST_P(PickleProtocol, ReadsPlainValues) {
  const std::string file = core::read_file(golden("values_protocol" + std::to_string(GetParam()) + ".pkl"));
  const PickleDocument document = read(file);
  EXPECT_EQ(entry(document, "ints"), "[0, 255, 256, 65536, -1, 2147483648, -9223372036854775808]");
  EXPECT_EQ(entry(document, "floats"), "(1.5, -0, 1e+300)");
  EXPECT_EQ(entry(document, "flags"), "(True, False, None)");
  EXPECT_EQ(entry(document, "text"), "'h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80'");
  EXPECT_EQ(entry(document, "bytes"), "b007fff");
  EXPECT_EQ(entry(document, "set"), "set(7)");
  EXPECT_EQ(entry(document, "twice"), "[{'deep': [(), [], {}]}, {'deep': [(), [], {}]}]");
  EXPECT_EQ(entry(document, "ordered"), "{'b': 1, 'a': 2}");
  EXPECT_EQ(entry(document, "pair"), "(1, 'x')");
  EXPECT_EQ(entry(document, "four"), "(1, 2, 3, 4)");
  EXPECT_EQ(entry(document, "class"), "collections.Counter");
  const auto& object = std::get<PickleObject>(find_string(std::get<PickleDict>(document.root->data), "object")->data);
  EXPECT_EQ(class_of(object), "argparse.Namespace");
  EXPECT_EQ(text_form(*object.state), "{'lr': 0.5}");
}

TEST_P(PickleProtocol, KeepsIdentity) {
  const PickleDocument document =
      read(core::read_file(golden("values_protocol" + std::to_string(GetParam()) + ".pkl")));
  const auto& twice = std::get<PickleList>(find_string(std::get<PickleDict>(document.root->data), "twice")->data);
  EXPECT_EQ(twice.items.at(0), twice.items.at(1));
}

TEST_P(PickleProtocol, RefusesEveryTruncation) {
  const std::string file = core::read_file(golden("values_protocol" + std::to_string(GetParam()) + ".pkl"));
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_THROW(read(std::string_view(file).substr(0, size)), Error) << size;
  }
}

TEST_P(PickleProtocol, FuzzSurvivesMutation) {
  const std::string file = core::read_file(golden("values_protocol" + std::to_string(GetParam()) + ".pkl"));
  // The protocols share the number of mutations.
  const auto counts = testing::fuzz_reader(
      file, [](const std::string& text) { text_form(*read(text).root); },
      {.seed = 1 + static_cast<std::uint64_t>(GetParam()), .iterations = testing::fuzz_iterations() / 6});
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

INSTANTIATE_TEST_SUITE_P(All, PickleProtocol, ::testing::Range(0, 6));

struct Case {
  std::string_view pickle;
  std::string_view text;
};

TEST(Pickle, ReadsSingleOpcodes) {
  const Case cases[] = {
      {"N."sv, "None"},
      {"I01\n."sv, "True"},
      {"I00\n."sv, "False"},
      {"I-12\n."sv, "-12"},
      {"L34L\n."sv, "34"},
      {"\x8a\x00."sv, "0"},
      {"\x8a\x01\xff."sv, "-1"},
      {"\x8a\x02\xff\x00."sv, "255"},
      {"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."sv, "-9223372036854775808"},
      {"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00."sv, "big(9)"},
      {"\x8b\x01\x00\x00\x00\x05."sv, "5"},
      {"K\xff."sv, "255"},
      {"M\x01\x02."sv, "513"},
      {"J\xfe\xff\xff\xff."sv, "-2"},
      {"F0.5\n."sv, "0.5"},
      {"G\x3f\xf8\x00\x00\x00\x00\x00\x00."sv, "1.5"},
      {"S'a\\n\\x41\\''\n."sv, "'a\nA''"},
      {"Va\\u0041\\U00000042\xe9\n."sv, "'aAB\xC3\xA9'"},
      {"U\x02xy."sv, "'xy'"},
      {"T\x02\x00\x00\x00xy."sv, "'xy'"},
      {"X\x01\x00\x00\x00z."sv, "'z'"},
      {"C\x01\xff."sv, "bff"},
      {"B\x01\x00\x00\x00\x0a."sv, "b0a"},
      {"\x96\x01\x00\x00\x00\x00\x00\x00\x00\x07."sv, "b07"},
      {"(K\x01K\x02t."sv, "(1, 2)"},
      {"(K\x01K\x02l."sv, "[1, 2]"},
      {"(K\x01K\x02\x64."sv, "{1: 2}"},
      {"(K\x01\x91."sv, "set(1)"},
      {"\x8f(K\x01K\x02\x90."sv, "set(1, 2)"},
      {"]K\x01\x61."sv, "[1]"},
      {"](K\x01K\x02\x65."sv, "[1, 2]"},
      {"}K\x01K\x02s."sv, "{1: 2}"},
      {"}(K\x01K\x02u."sv, "{1: 2}"},
      {"K\x01\x85."sv, "(1)"},
      {"K\x01\x32\x86."sv, "(1, 1)"},
      {"NNN\x87."sv, "(None, None, None)"},
      {"K\x01K\x02\x30."sv, "1"},
      {"K\x01(K\x02\x31."sv, "1"},
      {"K\x01(0."sv, "1"},
      {"K\x05p7\n0g7\n."sv, "5"},
      {"K\x05q\x07\x30h\x07."sv, "5"},
      {"K\x05r\x00\x01\x00\x00\x30j\x00\x01\x00\x00."sv, "5"},
      {"K\x05\x94\x30h\x00."sv, "5"},
      {"\x80\x05\x95\x01\x00\x00\x00\x00\x00\x00\x00N."sv, "None"},
      {"ca\nb\n."sv, "a.b"},
      {"\x8c\x01"
       "a\x8c\x01"
       "b\x93."sv,
       "a.b"},
      {"ca\nb\n)\x81}b."sv, "<a.b args () state {} items [] entries []>"},
      {"ca\nb\n)}\x92."sv, "<a.b args () state - items [{}] entries []>"},
      {"(K\x01ia\nb\n."sv, "<a.b args (1) state - items [] entries []>"},
      {"(ca\nb\nK\x01o."sv, "<a.b args (1) state - items [] entries []>"},
      {"ca\nb\n)RK\x01\x61."sv, "<a.b args () state - items [1] entries []>"},
      {"ca\nb\n)RK\x01K\x02s."sv, "<a.b args () state - items [] entries [1: 2]>"},
      {"ccollections\nOrderedDict\n)R}b."sv, "{} with {}"},
      {"ccollections\nOrderedDict\n]]K\x01\x61K\x02\x61\x61\x85R."sv, "{1: 2}"},
      {"ctorch\nSize\nK\x02K\x03\x86\x85R."sv, "(2, 3)"},
  };
  for (const Case& c : cases) EXPECT_EQ(text_of_pickle(c.pickle), c.text) << ::testing::PrintToString(c.pickle);
}

TEST(Pickle, SaysWhatIsWrong) {
  const Case cases[] = {
      {""sv, "truncated"},
      {"N"sv, "truncated"},
      {"."sv, "empty stack"},
      {"\xff"sv, "unknown opcode 0xff"},
      {"\x80\x06N."sv, "protocol 6"},
      {"X\xff\xff\xff\xffz."sv, "truncated"},
      {"\x8d\xff\xff\xff\xff\xff\xff\xff\xffz."sv, "truncated"},
      {"\x95\xff\xff\xff\xff\xff\xff\xff\x7fN."sv, "truncated"},
      {"\x8b\xff\xff\xff\xff."sv, "truncated"},
      {"I12"sv, "unfinished line"},
      {"I1x\n."sv, "malformed integer"},
      {"I99999999999999999999\n."sv, "malformed integer"},
      {"F1.5.5\n."sv, "malformed float"},
      {"S'a\n."sv, "malformed string"},
      {"S'\\q'\n."sv, "malformed string"},
      {"V\\u00g0\n."sv, "malformed text"},
      {"V\\ud800\n."sv, "malformed text"},
      {"t."sv, "no mark"},
      {"(\x85."sv, "empty stack"},
      {"K\x01(\x30\x30\x30."sv, "empty stack"},
      {"h\x01."sv, "memo has no entry 1"},
      {"K\x01K\x02\x61."sv, "append to an int"},
      {"]K\x01K\x02s."sv, "set an item of a list"},
      {"(K\x01\x64."sv, "odd number"},
      {"}(K\x01u."sv, "odd number"},
      {"K\x01}b."sv, "state set on an int"},
      {"NN\x93."sv, "not text"},
      {"(o."sv, "without a class"},
      {"\x82\x01."sv, "outside the file"},
      {"\x97."sv, "outside the file"},
      {"Pabc\n."sv, "textual persistent id"},
      {"NQ."sv, "must be a tuple"},
      {"S'x'\n\x85Q."sv, "unknown kind 'x'"},
      {"ctorch._utils\n_rebuild_tensor_v2\n)R."sv, "takes 5 to 7 arguments"},
      {"ctorch._utils\n_rebuild_tensor\n(NK\x01)\x29tR."sv, "must be a storage, got None"},
      {"ctorch._utils\n_rebuild_parameter\n(NK\x01)tR."sv, "must be a tensor, got None"},
      {"c_codecs\nencode\n(V\\u20ac\nVlatin1\ntR."sv, "first 256 characters"},
  };
  for (const Case& c : cases) {
    const std::string message = message_of(c.pickle);
    EXPECT_NE(message.find(c.text), std::string::npos) << message << " for " << ::testing::PrintToString(c.pickle);
    EXPECT_TRUE(message.starts_with("[pickle] test: ")) << message;
  }
}

TEST(Pickle, ReadsStoragesAndTensors) {
  const std::string_view storage =
      "(U\x07storagectorch\nFloatStorage\nU\x01"
      "0U\x03"
      "cpuK\x06tQ"sv;
  const auto call = [&](std::string_view name, std::string_view rest) {
    return "ctorch._utils\n" + std::string(name) + "\n(" + std::string(storage) + std::string(rest) + "tR.";
  };
  EXPECT_EQ(text_of_pickle(call("_rebuild_tensor", "K\x01K\x02\x85K\x01\x85")), "tensor(0, 1, [2], [1])");
  EXPECT_EQ(text_of_pickle(call("_rebuild_tensor_v2", "K\x01K\x02\x85K\x01\x85\x88N")), "tensor(0, 1, [2], [1], grad)");
  EXPECT_NE(message_of(call("_rebuild_tensor", "K\x01K\x02\x85)")).find("as long as the sizes"), std::string::npos);
  EXPECT_NE(message_of(call("_rebuild_tensor", "J\xff\xff\xff\xffK\x02\x85K\x01\x85")).find("at least 0"),
            std::string::npos);
  EXPECT_NE(message_of(call("_rebuild_tensor", "K\x01J\xff\xff\xff\xff\x85K\x01\x85")).find("a tuple of sizes"),
            std::string::npos);
  EXPECT_NE(message_of(call("_rebuild_tensor_v2", "K\x01K\x02\x85K\x01\x85\x88NK\x01")).find("None or a dict"),
            std::string::npos);
}

TEST(Pickle, CallsNothing) {
  const core::TemporaryDirectory folder;
  const std::filesystem::path marker = folder.path() / "called";
  const std::string pickle = "cposix\nsystem\n(S'touch " + marker.string() + "'\ntR.";
  const PickleDocument document = read(pickle);
  EXPECT_EQ(class_of(std::get<PickleObject>(document.root->data)), "posix.system");
  EXPECT_FALSE(std::filesystem::exists(marker));
}

TEST(Pickle, StopsAfterTheFirst) {
  std::size_t consumed = 0;
  read_pickle(core::as_bytes("K\x01.K\x02."sv), "test", &consumed);
  EXPECT_EQ(consumed, 3u);
}

TEST(Pickle, ReadsRecursiveValues) {
  const PickleDocument document = read("]q\x01h\x01\x61.");
  EXPECT_EQ(std::get<PickleList>(document.root->data).items.at(0), document.root);
  EXPECT_EQ(text_form(*document.root, 3), "[[[...]]]");
}

TEST(Pickle, DepthCostsNoStack) {
  constexpr std::size_t kDepth = 200'000;
  const std::string pickle = repeated("]", kDepth) + repeated("a", kDepth - 1) + ".";
  EXPECT_EQ(std::get<PickleList>(read(pickle).root->data).items.size(), 1u);
}

TEST(Pickle, LimitsMarks) {
  EXPECT_NE(message_of(repeated("(", kMaxPickleMarks + 1)).find("nested too deeply"), std::string::npos);
}

TEST(Pickle, LimitsNames) {
  const std::string name(kMaxGlobalName + 1, 'x');
  EXPECT_NE(message_of("cm\n" + name + "\n.").find("overlong name"), std::string::npos);
}

/// Each of 2,000 short calls copies a list of 20,000 entries from the memo: 640 MB if they were allowed to.
TEST(Pickle, LimitsRepeatedCopies) {
  const std::string list = "](" + repeated("h\x01", 20'000) + "e";
  const std::string pickle =
      "](K\x01K\x02\x65q\x01\x30" + list + "\x85q\x02\x30" + repeated("ccollections\nOrderedDict\nh\x02R", 2'000) + ".";
  EXPECT_NE(message_of(pickle).find("calls copy more"), std::string::npos);
}

TEST(Pickle, LimitsTensorDims) {
  const std::string sizes = "(" + repeated("K\x01", kMaxTensorDims + 1) + "t";
  const std::string pickle = "ctorch._utils\n_rebuild_tensor\n((U\x07storagectorch\nFloatStorage\nU\x01" +
                             std::string("0U\x03") + "cpuK\x06tQK\x01" + sizes + sizes + "tR.";
  EXPECT_NE(message_of(pickle).find("a tuple of sizes"), std::string::npos);
}

}  // namespace
}  // namespace limbeck::weights
