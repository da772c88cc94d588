#include "limbeck/data/files/idx.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "tests/support/mutation.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <functional>
#include <numeric>

namespace limbeck::data {
namespace {

// The bytes of an IDX file: `dims` as big-endian words, then 0, 1, 2, ...
std::string idx_file(const std::vector<std::uint32_t>& dims, std::size_t num_bytes, char type = 0x08) {
  std::string file("\0\0", 2);
  file.push_back(type);
  file.push_back(static_cast<char>(dims.size()));
  for (const std::uint32_t dim : dims) {
    for (const int shift : {24, 16, 8, 0}) file.push_back(static_cast<char>(dim >> shift & 0xff));
  }
  for (std::size_t i = 0; i < num_bytes; ++i) file.push_back(static_cast<char>(i));
  return file;
}

std::string gzip(const std::string& content) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(content.size() + 1024, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

IdxArray parse(const std::string& file, const IdxLimits& limits = {}) {
  return parse_idx({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()}, "digits", limits);
}

// The message of the IoError that parsing `file` must throw.
std::string refusal(const std::string& file, const IdxLimits& limits = {}) {
  try {
    parse(file, limits);
  } catch (const IoError& error) {
    return error.what();
  }
  ADD_FAILURE() << "the file was accepted";
  return {};
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(ParseIdx, ReadsPlainFile) {
  const IdxArray array = parse(idx_file({2, 3, 4}, 24));
  EXPECT_EQ(array.dims, (std::vector<std::int64_t>{2, 3, 4}));
  ASSERT_EQ(array.bytes.size(), 24U);
  EXPECT_EQ(array.bytes[0], 0);
  EXPECT_EQ(array.bytes[23], 23);
}

TEST(ParseIdx, ReadsGzipAsItReadsPlain) {
  const std::string file = idx_file({700, 13}, 9100);
  EXPECT_EQ(parse(gzip(file)).bytes, parse(file).bytes);
}

TEST(ParseIdx, ReadsGzipOfSeveralMembers) {
  const std::string file = idx_file({300}, 300);
  const std::string split = gzip(file.substr(0, 5)) + gzip(file.substr(5, 100)) + gzip(file.substr(105));
  EXPECT_EQ(parse(split).bytes, parse(file).bytes);
}

TEST(ParseIdx, ReadsEmptyArray) {
  const IdxArray array = parse(idx_file({0, 28, 28}, 0));
  EXPECT_EQ(array.dims, (std::vector<std::int64_t>{0, 28, 28}));
  EXPECT_TRUE(array.bytes.empty());
}

TEST(ParseIdx, RefusesWhatIsNotIdx) {
  EXPECT_TRUE(
      contains(refusal("PK\x03\x04 an archive"), "digits is not an IDX file: it must start with 00 00, got 50 4b"));
  EXPECT_TRUE(contains(refusal(""), "digits is truncated: it ends inside the header"));
  EXPECT_TRUE(contains(refusal(idx_file({5}, 5).substr(0, 7)), "ends inside the header"));
}

TEST(ParseIdx, RefusesOtherTypes) {
  EXPECT_TRUE(
      contains(refusal(idx_file({2}, 8, 0x0D)), "must hold unsigned bytes (type 0x08), got type 0x0d (32-bit float)"));
  EXPECT_TRUE(contains(refusal(idx_file({2}, 8, 0x42)), "(unknown)"));
}

TEST(ParseIdx, RefusesWrongNumberOfDims) {
  EXPECT_TRUE(contains(refusal(idx_file({}, 1)), "must have 1 to 4 dimensions, got 0"));
  EXPECT_TRUE(contains(refusal(idx_file({1, 1, 1, 1, 1}, 1)), "must have 1 to 4 dimensions, got 5"));
}

TEST(ParseIdx, RefusesTruncatedAndOverlongFiles) {
  EXPECT_TRUE(contains(refusal(idx_file({2, 3}, 5)), "is truncated: its header says [2, 3], 6 bytes"));
  EXPECT_TRUE(contains(refusal(idx_file({2, 3}, 7)), "is longer than its header says, [2, 3]"));
  const std::string packed = gzip(idx_file({200}, 200));
  EXPECT_TRUE(contains(refusal(packed.substr(0, packed.size() - 30)), "is truncated"));
  EXPECT_TRUE(contains(refusal(packed.substr(0, packed.size() - 4)), "is truncated")) << "the trailer is part of it";
  EXPECT_TRUE(contains(refusal(gzip(idx_file({199}, 200))), "is longer"));
  EXPECT_TRUE(contains(refusal(gzip(idx_file({201}, 200))), "is truncated"));
}

TEST(ParseIdx, RefusesGzipWithWrongChecksum) {
  std::string packed = gzip(idx_file({200}, 200));
  packed[packed.size() - 8] ^= 1;
  EXPECT_TRUE(contains(refusal(packed), "digits is damaged (incorrect data check)"));
}

TEST(ParseIdx, RefusesSizesBeyondTheLimitBeforeAllocating) {
  constexpr std::uint32_t kHuge = 0xffffffff;
  EXPECT_TRUE(contains(refusal(idx_file({kHuge, kHuge, kHuge, kHuge}, 4)), "is too large"));
  EXPECT_TRUE(contains(refusal(idx_file({10, 11}, 110), {.max_bytes = 109}), "exceeds the limit of 109 bytes"));
  EXPECT_EQ(parse(idx_file({10, 11}, 110), {.max_bytes = 110}).bytes.size(), 110U);
  // Within the limit, but more than so small a file can hold.
  EXPECT_TRUE(contains(refusal(gzip(idx_file({kHuge}, 4))), "is truncated"));
  EXPECT_EQ(parse(idx_file({kHuge, 0}, 0)).dims[0], std::int64_t{kHuge});
}

TEST(ReadIdx, ReadsFileAndNamesWhatIsMissing) {
  const core::TemporaryDirectory folder;
  const auto path = folder.path() / "labels";
  core::write_file(path, idx_file({3}, 3));
  EXPECT_EQ(read_idx(path.string()).bytes, (std::vector<std::uint8_t>{0, 1, 2}));
  try {
    read_idx((folder.path() / "nothing").string());
    FAIL();
  } catch (const IoError& error) {
    EXPECT_TRUE(contains(error.what(), "nothing"));
  }
}

// Every mutation is read or refused; an allocation beyond 64 KiB fails the test.
void fuzz(const std::string& original) {
  const auto counts = testing::fuzz_reader(original,
                                           [](const std::string& file) {
                                             const IdxArray array = parse(file, {.max_bytes = 1 << 16});
                                             const auto product = std::accumulate(array.dims.begin(), array.dims.end(),
                                                                                  std::int64_t{1}, std::multiplies<>());
                                             ASSERT_EQ(array.bytes.size(), static_cast<std::size_t>(product));
                                           },
                                           {.max_allocation_bytes = std::size_t{1} << 16});
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

TEST(ParseIdxFuzz, SurvivesMutationsOfPlainFile) { fuzz(idx_file({4, 5, 6}, 120)); }

TEST(ParseIdxFuzz, SurvivesMutationsOfGzipFile) { fuzz(gzip(idx_file({4, 5, 6}, 120))); }

}  // namespace
}  // namespace limbeck::data
