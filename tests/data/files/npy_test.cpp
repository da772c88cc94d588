#include "limbeck/data/files/npy.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "tests/support/mutation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace limbeck::data {
namespace {

const std::string kFolder = LIMBECK_SOURCE_DIR "/tests/data/arrays/";

at::Tensor counting() { return at::arange(24, at::kLong).view({2, 3, 4}); }

// A version 1 file with that header's text.
std::string npy(const std::string& header, const std::string& values, char version = 1) {
  std::string file = "\x93NUMPY";
  file += {version, '\0', static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  if (version > 1) file += std::string(2, '\0');
  return file + header + values;
}

template <class E = IoError>
std::string refusal(const std::string& file) {
  try {
    parse_npy_header(core::as_bytes(file), "a.npy");
  } catch (const E& error) {
    return error.what();
  }
  return "accepted";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct Type {
  const char* file;
  at::ScalarType dtype;
};

class ReadNpy : public ::testing::TestWithParam<Type> {};

TEST_P(ReadNpy, ReadsWhatNumpyWrites) {
  const at::Tensor array = read_npy(kFolder + GetParam().file + ".npy");
  EXPECT_EQ(array.scalar_type(), GetParam().dtype);
  EXPECT_TRUE(at::equal(array.to(at::kDouble), counting().to(GetParam().dtype).to(at::kDouble)));
}

INSTANTIATE_TEST_SUITE_P(Types, ReadNpy,
                         ::testing::Values(Type{"b1", at::kBool}, Type{"i1", at::kChar}, Type{"little_i2", at::kShort},
                                           Type{"little_i4", at::kInt}, Type{"little_i8", at::kLong},
                                           Type{"u1", at::kByte}, Type{"little_u2", at::kUInt16},
                                           Type{"little_u4", at::kUInt32}, Type{"little_u8", at::kUInt64},
                                           Type{"little_f2", at::kHalf}, Type{"little_f4", at::kFloat},
                                           Type{"little_f8", at::kDouble}, Type{"big_i4", at::kInt},
                                           Type{"big_f8", at::kDouble}, Type{"big_u2", at::kUInt16},
                                           Type{"fortran", at::kInt}, Type{"version_1", at::kShort},
                                           Type{"version_2", at::kShort}, Type{"version_3", at::kShort}),
                         [](const auto& one) { return std::string(one.param.file); });

TEST(ReadNpyShapes, ReadsScalarsAndEmptyArrays) {
  EXPECT_EQ(read_npy(kFolder + "scalar.npy").dim(), 0);
  EXPECT_EQ(read_npy(kFolder + "scalar.npy").item<float>(), 7.0F);
  EXPECT_EQ(read_npy(kFolder + "empty.npy").sizes(), at::IntArrayRef({0, 3}));
}

TEST(ReadNpyShapes, CopiesWhereTheValuesAreMisaligned) {
  const core::TemporaryDirectory folder;
  const std::string values("\1\0\0\0\2\0\0\0", 8);
  core::write_file(folder.path() / "odd.npy", npy("{'descr':'<i4','fortran_order':False,'shape':(2,)}", values));
  EXPECT_TRUE(at::equal(read_npy(folder.path() / "odd.npy"), at::tensor({1, 2}, at::kInt)));
}

TEST(ReadNpyShapes, NeverWritesToTheFile) {
  const core::TemporaryDirectory folder;
  std::filesystem::copy_file(kFolder + "u1.npy", folder.path() / "u1.npy");
  read_npy(folder.path() / "u1.npy").fill_(9);
  EXPECT_TRUE(at::equal(read_npy(folder.path() / "u1.npy"), counting().to(at::kByte)));
}

TEST(ParseNpyHeader, TakesAnyOrderOfKeys) {
  const std::string file = npy("{\"shape\": (2, 1L), 'fortran_order': True , 'descr': '|u1'}", "ab");
  const NpyHeader header = parse_npy_header(core::as_bytes(file), "a.npy");
  EXPECT_EQ(header.shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_TRUE(header.is_fortran_order);
  EXPECT_EQ(header.offset, file.size() - 2);
}

TEST(ParseNpyHeader, SaysWhichTypesItCannotRead) {
  for (const char* name : {"object", "records", "text", "complex"}) {
    const std::string message = refusal<Unsupported>(core::read_file(kFolder + name + ".npy"));
    EXPECT_TRUE(contains(message, "[npy] a.npy holds")) << name << ": " << message;
  }
}

TEST(ParseNpyHeader, RefusesDamage) {
  const std::string good = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }";
  EXPECT_EQ(refusal(npy(good, "ab")), "accepted");
  EXPECT_TRUE(contains(refusal(npy(good, "a")), "promises 2 bytes of values and 1 follow"));
  EXPECT_TRUE(contains(refusal(npy(good, "abc")), "promises 2 bytes of values and 3 follow"));
  EXPECT_TRUE(contains(refusal(npy(good, "ab", 4)), "its version is 4, known are 1 to 3"));
  EXPECT_TRUE(contains(refusal("PK\3\4"), "it is no .npy file"));
  EXPECT_TRUE(contains(refusal("\x93NUMPY\x01"), "it is no .npy file"));
  EXPECT_TRUE(contains(refusal(npy(good, "").substr(0, 30)), "ends inside the header"));
  const auto of = [](const std::string& header) { return refusal(npy(header, "ab")); };
  EXPECT_TRUE(contains(of("{'descr': '|u1', 'shape': (2,)}"), "must have the keys descr, fortran_order and shape"));
  EXPECT_TRUE(contains(of("{'descr': '|u1', 'descr': '|u1'}"), "an unexpected key 'descr'"));
  EXPECT_TRUE(contains(of("{'descr': '|u1', 'fortran_order': 0, 'shape': (2,)}"), "must be True or False"));
  EXPECT_TRUE(contains(of("{'descr': '|u1', 'fortran_order': False, 'shape': (-2,)}"), "whole numbers"));
  EXPECT_TRUE(contains(of("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,)}"), "whole"));
  EXPECT_TRUE(contains(of("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}"),
                       "promises too many bytes"));
  EXPECT_TRUE(contains(of("{'descr': '|u1', 'fortran_order': False, 'shape': (2,)} + 1"), "something follows"));
  EXPECT_TRUE(contains(of("__import__('os')"), "its header lacks a '{'"));
  EXPECT_TRUE(contains(of("{'descr"), "does not end"));
}

TEST(ParseNpyHeaderFuzz, SurvivesMutations) {
  for (const char* name : {"little_f4.npy", "version_2.npy", "fortran.npy"}) {
    const auto counts = testing::fuzz_reader(core::read_file(kFolder + name), [](const std::string& file) {
      const NpyHeader header = parse_npy_header(core::as_bytes(file), "mutant");
      std::size_t bytes = c10::elementSize(header.dtype);
      for (const std::int64_t side : header.shape) bytes *= static_cast<std::size_t>(side);
      ASSERT_EQ(header.offset + bytes, file.size());
    });
    EXPECT_GT(counts.accepted, 0) << name;
    EXPECT_GT(counts.refused, 0) << name;
  }
}

}  // namespace
}  // namespace limbeck::data
