#include "limbeck/graph/weights/zip_directory.h"

#include <gtest/gtest.h>

#include <cstring>

#include "limbeck/core/error.h"
#include "tests/graph/weights/golden.h"
#include "tests/support/mutation.h"

namespace limbeck::weights {
namespace {

std::string file(const std::string& name) { return core::read_file(golden(name)); }

std::string message_of(const std::string& zip) {
  try {
    ZipDirectory::read(core::as_bytes(zip), "test");
  } catch (const IoError& error) {
    return error.what();
  }
  return "no error";
}

template <class T>
void set_word(std::string& text, std::size_t at, T value) {
  ASSERT_LE(at + sizeof(T), text.size());
  std::memcpy(text.data() + at, &value, sizeof(T));
}

/// Offset of the n-th header with the given signature.
std::size_t nth(const std::string& zip, std::string_view signature, int n = 0) {
  std::size_t at = zip.find(signature);
  for (; n > 0; --n) at = zip.find(signature, at + 1);
  return at;
}

constexpr std::string_view kCentral = "PK\x01\x02";
constexpr std::string_view kEnd = "PK\x05\x06";

TEST(ZipDirectory, FindsRecordsOfTorch) {
  for (const char* name : {"state_dict.pth", "repacked.pth"}) {
    const std::string zip = file(name);
    const ZipDirectory directory = ZipDirectory::read(core::as_bytes(zip), name);
    EXPECT_EQ(directory.folder(), "state_dict");
    ASSERT_NE(directory.find_in_folder("data.pkl"), nullptr);
    EXPECT_EQ(directory.find_in_folder("data.pkl"), directory.find("state_dict/data.pkl"));
    EXPECT_TRUE(directory.has_in_folder("data/"));
    EXPECT_FALSE(directory.has_in_folder("code/"));
    EXPECT_EQ(directory.find("nothing"), nullptr);
    const ZipRecord* order = directory.find_in_folder("byteorder");
    ASSERT_NE(order, nullptr);
    EXPECT_EQ(zip.substr(order->offset, order->size_bytes), "little");
  }
}

TEST(ZipDirectory, RefusesCompressedRecordsOnUse) {
  const std::string zip = file("compressed.pth");
  const ZipDirectory directory = ZipDirectory::read(core::as_bytes(zip), "test");
  const ZipRecord* pickle = directory.find_in_folder("data.pkl");
  ASSERT_NE(pickle, nullptr);
  EXPECT_TRUE(pickle->is_compressed);
  EXPECT_THROW(directory.stored(*pickle), Unsupported);
}

TEST(ZipDirectory, RefusesEveryTruncation) {
  for (const char* name : {"state_dict.pth", "repacked.pth"}) {
    const std::string zip = file(name);
    for (std::size_t size = 0; size < zip.size(); ++size) {
      EXPECT_THROW(ZipDirectory::read(core::as_bytes(zip).first(size), "test"), IoError) << size;
    }
  }
}

TEST(ZipDirectory, SurvivesCommentsAndSignaturesInThem) {
  std::string zip = file("repacked.pth");
  set_word<std::uint16_t>(zip, nth(zip, kEnd) + 20, 8);
  EXPECT_EQ(message_of(zip + "PK\x05\x06" + "abcd"), "no error");
}

TEST(ZipDirectory, SaysWhatIsWrong) {
  struct Case {
    const char* rule;
    std::size_t offset;  // within the second central header
    std::uint32_t value;
  };
  const std::string zip = file("repacked.pth");
  const std::size_t header = nth(zip, kCentral, 1);
  const Case cases[] = {
      {"has two sizes", 24, 12345},       {"lies beyond the file", 42, 0x7FFFFFFF},
      {"local header is missing", 42, 1}, {"beyond the directory", 30, 0x0000FFFF},
      {"name is empty", 28, 0},           {"a record's header is missing", 0, 0},
  };
  for (const Case& c : cases) {
    std::string damaged = zip;
    set_word(damaged, header + c.offset, c.value);
    EXPECT_NE(message_of(damaged).find(c.rule), std::string::npos) << c.rule << ": " << message_of(damaged);
  }
}

TEST(ZipDirectory, RefusesClaimsBeyondTheFile) {
  std::string zip = file("repacked.pth");
  const std::size_t header = nth(zip, kCentral, 1);
  set_word<std::uint32_t>(zip, header + 20, 0x7FFFFFFF);
  set_word<std::uint32_t>(zip, header + 24, 0x7FFFFFFF);
  EXPECT_NE(message_of(zip).find("lies beyond the file"), std::string::npos);
  std::string many = file("repacked.pth");
  set_word<std::uint16_t>(many, nth(many, kEnd) + 10, 0xFFFF);
  EXPECT_NE(message_of(many).find("too short for its records"), std::string::npos);
}

TEST(ZipDirectory, RefusesTwinsAndOverlaps) {
  const std::string zip = file("repacked.pth");
  const std::size_t first = nth(zip, kCentral, 2);
  const std::size_t second = nth(zip, kCentral, 3);
  std::string overlap = zip;
  std::memcpy(overlap.data() + second + 42, overlap.data() + first + 42, 4);  // both at one place
  EXPECT_NE(message_of(overlap).find("overlap"), std::string::npos) << message_of(overlap);

  const auto name_at = [&](int n) { return nth(zip, kCentral, n) + 46; };
  std::string twins = zip;  // data/0 and data/1 have names of one length
  const std::size_t zero = zip.find("data/0", nth(zip, kCentral));
  const std::size_t one = zip.find("data/1", nth(zip, kCentral));
  ASSERT_NE(one, std::string::npos);
  ASSERT_GT(zero, name_at(0));
  twins[one + 5] = '0';
  EXPECT_NE(message_of(twins).find("two records are named"), std::string::npos);
}

TEST(ZipDirectory, FuzzSurvivesMutation) {
  const std::string zip = file("state_dict.pth");
  const auto counts = testing::fuzz_reader(zip, [](const std::string& text) {
    const ZipDirectory directory = ZipDirectory::read(core::as_bytes(text), "test");
    for (const ZipRecord& record : directory.records()) {
      if (record.offset > text.size() || record.size_bytes > text.size() - record.offset) {
        ADD_FAILURE() << "a record beyond the file";
      }
    }
  });
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

}  // namespace
}  // namespace limbeck::weights
