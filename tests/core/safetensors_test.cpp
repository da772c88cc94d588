#include "limbeck/core/files/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"
#include "tests/support/mutation.h"

namespace limbeck::core {
namespace {

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

// Not synchronised to the disk, as the fuzz tests write thousands. A new file each time, since file systems write a
// truncated one out at once.
void write_quickly(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary) << content;
}

std::string with_length(std::string_view header, std::string_view data = "") {
  std::string file(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> (8 * i));
  return file + std::string(header) + std::string(data);
}

class SafetensorsTest : public ::testing::Test {
 protected:
  // The message of the error that opening `content` gives, without the path.
  std::string message_of(std::string_view content) {
    write_quickly(path_, content);
    try {
      SafetensorsFile::open(path_);
    } catch (const Error& error) {
      std::string message = error.what();
      const std::size_t at = message.find(path_.string());
      return at == std::string::npos ? message : message.erase(at, path_.string().size());
    }
    return "no exception";
  }

  std::string valid_content() {
    const std::vector<float> weight = {1, 2, 3, 4, 5, 6};
    const std::vector<std::int64_t> count = {7};
    write_safetensors(path_,
                      std::vector<TensorToWrite>{{"fc.weight", DType::f32, {2, 3}, bytes_of(weight)},
                                                 {"count", DType::i64, {}, bytes_of(count)},
                                                 {"empty", DType::f16, {0, 4}, {}}},
                      {{"graph", "{\"x\": [1, 2]}"}, {"format", "pt"}});
    return read_file(path_);
  }

  TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "t.safetensors";
};

TEST_F(SafetensorsTest, RoundTripsTensorsAndMetadata) {
  valid_content();
  const SafetensorsFile file = SafetensorsFile::open(path_);
  ASSERT_EQ(file.tensors().size(), 3u);
  const StoredTensor& weight = file.at("fc.weight");
  EXPECT_EQ(weight.dtype, DType::f32);
  EXPECT_EQ(weight.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_TRUE(weight.is_aligned());
  float last = 0;
  std::memcpy(&last, weight.bytes.data() + 20, 4);
  EXPECT_EQ(last, 6.0f);
  EXPECT_EQ(file.at("count").shape.size(), 0u);
  EXPECT_EQ(file.at("count").bytes.size(), 8u);
  EXPECT_EQ(file.at("empty").bytes.size(), 0u);
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}, {"graph", "{\"x\": [1, 2]}"}}));
  EXPECT_EQ(file.find("nothing"), nullptr);
}

TEST_F(SafetensorsTest, NamesTheNearestTensor) {
  valid_content();
  const SafetensorsFile file = SafetensorsFile::open(path_);
  try {
    file.at("fc.weigth");
    FAIL() << "no exception";
  } catch (const InvalidArgument& error) {
    EXPECT_EQ(std::string(error.what()),
              "[safetensors] " + path_.string() + " has no tensor 'fc.weigth'. Nearest: fc.weight.");
  }
}

TEST_F(SafetensorsTest, StartsDataAtAMultipleOf64AndOrdersByAlignment) {
  const std::vector<std::uint8_t> bytes(16, 1);
  const auto span = std::span(bytes);
  const auto tensor = [&](const char* name, DType dtype) {
    return TensorToWrite{name, dtype, {1}, std::as_bytes(span.first(dtype_bytes(dtype)))};
  };
  for (int padding = 0; padding < 70; padding += 3) {
    write_safetensors(path_,
                      std::vector{tensor("b", DType::u8), tensor("a", DType::boolean), tensor("d", DType::f64),
                                  tensor("h", DType::bf16), tensor("f", DType::f32), tensor("c", DType::i64)},
                      {{"p", std::string(static_cast<std::size_t>(padding), 'x')}});
    const SafetensorsFile file = SafetensorsFile::open(path_);
    std::string order;
    for (const StoredTensor& each : file.tensors()) {
      order += each.name;
      EXPECT_TRUE(each.is_aligned()) << each.name;
    }
    EXPECT_EQ(order, "cdfhab");
    EXPECT_EQ((file.tensors()[0].bytes.data() - file.mapping()->bytes().data()) % 64, 0);
  }
}

TEST_F(SafetensorsTest, EqualInputGivesEqualFiles) {
  const std::string first = valid_content();
  EXPECT_EQ(valid_content(), first);
}

TEST_F(SafetensorsTest, WritingIntoLoadedTensorsLeavesTheFile) {
  const std::string before = valid_content();
  const SafetensorsFile file = SafetensorsFile::open(path_);
  std::fill(file.at("fc.weight").bytes.begin(), file.at("fc.weight").bytes.end(), std::byte{0});
  EXPECT_EQ(read_file(path_), before);
}

TEST_F(SafetensorsTest, TensorsOutliveTheFileObjectWithTheirMapping) {
  valid_content();
  std::shared_ptr<MappedFile> mapping;
  std::span<std::byte> bytes;
  {
    const SafetensorsFile file = SafetensorsFile::open(path_);
    mapping = file.mapping();
    bytes = file.at("count").bytes;
  }
  std::filesystem::remove(path_);
  EXPECT_EQ(bytes[0], std::byte{7});
}

TEST_F(SafetensorsTest, OverwritesAFileThatItHasMapped) {
  valid_content();
  const SafetensorsFile file = SafetensorsFile::open(path_);
  const StoredTensor& count = file.at("count");
  write_safetensors(path_, std::vector<TensorToWrite>{{"count", count.dtype, count.shape, count.bytes}});
  EXPECT_EQ(SafetensorsFile::open(path_).at("count").bytes[0], std::byte{7});
}

TEST_F(SafetensorsTest, HoldsMegabytesOfMetadata) {
  std::string graph;
  while (graph.size() < 8'000'000) graph += "{\"node\": \"größe\\n\"},\n";
  write_safetensors(path_, {}, {{"graph", graph}});
  const SafetensorsFile file = SafetensorsFile::open(path_);
  EXPECT_TRUE(file.tensors().empty());
  EXPECT_EQ(file.metadata().at("graph"), graph);
}

// Written by the reference implementation, Python's safetensors 0.8.0.
TEST_F(SafetensorsTest, ReadsFilesOfTheReferenceImplementation) {
  const SafetensorsFile file =
      SafetensorsFile::open(std::filesystem::path(LIMBECK_SOURCE_DIR) / "tests/core/data/reference_0_8.safetensors");
  const auto hex = [&](const char* name) {
    std::string text;
    for (std::byte b : file.at(name).bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(b));
    return text;
  };
  EXPECT_EQ(file.tensors().size(), 7u);
  EXPECT_EQ(file.at("layer.weight").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(hex("layer.weight"), "000000000000803e0000003f0000403f0000803f0000a03f");
  EXPECT_EQ(file.at("half").dtype, DType::bf16);
  EXPECT_EQ(hex("half"), "c03f00c0");
  EXPECT_EQ(file.at("count").dtype, DType::i64);
  EXPECT_EQ(hex("count"), "0700000000000000");
  EXPECT_EQ(file.at("mask").dtype, DType::boolean);
  EXPECT_EQ(hex("mask"), "010001");
  EXPECT_EQ(file.at("small").dtype, DType::f8_e4m3);
  EXPECT_EQ(hex("small"), "7e");
  EXPECT_EQ(file.at("complex").dtype, DType::c64);
  EXPECT_EQ(hex("complex"), "0000803f00000040");
  EXPECT_EQ(file.at("empty").shape, (std::vector<std::int64_t>{0, 4}));
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}, {"note", "größe \"x\"\n"}}));
}

TEST_F(SafetensorsTest, RefusesBrokenContainers) {
  EXPECT_EQ(message_of(""), "[safetensors] : truncated, 0 bytes can't hold the header's length");
  EXPECT_EQ(message_of("1234567"), "[safetensors] : truncated, 7 bytes can't hold the header's length");
  EXPECT_EQ(message_of(std::string(8, '\xff')),
            "[safetensors] : the header's length is 18446744073709551615 bytes, the limit is 100000000");
  EXPECT_EQ(message_of(std::string("\x10\0\0\0\0\0\0\0{}", 10)),
            "[safetensors] : truncated, the header needs 16 bytes and 2 follow");
  EXPECT_EQ(message_of(with_length(" {}")), "[safetensors] : the header must start with '{'");
  EXPECT_EQ(message_of(with_length("[]")), "[safetensors] : the header must start with '{'");
  EXPECT_EQ(message_of(with_length("{}", "x")),
            "[safetensors] : tensors end at 0, but the file has 1 bytes of data: truncated or damaged");
  EXPECT_EQ(message_of(with_length("{}   ")), "no exception");
  EXPECT_EQ(message_of(with_length("{} x")).substr(0, 21), "[json]  header:1:4: s");
}

TEST_F(SafetensorsTest, RefusesBrokenEntries) {
  const auto entry = [&](std::string_view fields, std::string_view data = "12345678") {
    return message_of(with_length("{\"a\": {" + std::string(fields) + "}}", data));
  };
  const std::string a = "[safetensors] : header.a";
  EXPECT_EQ(entry(R"("dtype": "F32", "shape": [2], "data_offsets": [0, 8])"), "no exception");
  EXPECT_EQ(entry(R"("dtype": "F31", "shape": [2], "data_offsets": [0, 8])"), a + ".dtype: unknown dtype \"F31\"");
  EXPECT_EQ(entry(R"("dtype": 1, "shape": [2], "data_offsets": [0, 8])"), a + ".dtype must be a string, got 1");
  EXPECT_EQ(entry(R"("dtype": "F32", "shape": [2])"), a + " has no \"data_offsets\".");
  EXPECT_EQ(entry(R"("dtype": "F32", "shape": [2], "data_offsets": [0])"),
            a + ".data_offsets must be [begin, end], got an array of 1");
  EXPECT_EQ(entry(R"("dtype": "F32", "shape": [2], "data_offsets": [0, 9])"),
            a + ".data_offsets: truncated or damaged, bytes [0, 9] are named and 8 of data follow the header");
  EXPECT_EQ(entry(R"("dtype": "F32", "shape": [2], "data_offsets": [-1, 8])"),
            a + ".data_offsets[0] must lie in [0, 9223372036854775807], got -1");
  EXPECT_EQ(entry(R"("dtype": "F32", "shape": [3], "data_offsets": [0, 8])"),
            a + ": offsets [0, 8] don't hold the 12 bytes of its shape and dtype");
  EXPECT_EQ(entry(R"("dtype": "F32", "shape": [2], "data_offsets": [8, 0])"),
            a + ": offsets [8, 0] don't hold the 8 bytes of its shape and dtype");
  EXPECT_EQ(entry(R"("dtype": "F32", "shape": [-2], "data_offsets": [0, 8])"),
            a + ".shape must have dimensions >= 0 and fit 2^63 bytes, got an array of 1");
  EXPECT_EQ(entry(R"("dtype": "U8", "shape": [4294967296, 4294967296], "data_offsets": [0, 0])", ""),
            a + ".shape must have dimensions >= 0 and fit 2^63 bytes, got an array of 2");
  EXPECT_EQ(message_of(with_length(R"({"__metadata__": {"a": 1}})")),
            "[safetensors] : header.__metadata__.a must be a string, got 1");
  EXPECT_EQ(message_of(with_length(R"({"a": {}, "a": {}})")).substr(0, 41), "[json]  header:1:13: duplicate key \"a\"");
}

TEST_F(SafetensorsTest, RefusesOverlapsAndGaps) {
  const auto two = [&](const char* first, const char* second, const char* data) {
    return message_of(with_length(std::string(R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": )") + first +
                                      R"(}, "b": {"dtype": "U8", "shape": [4], "data_offsets": )" + second + "}}",
                                  data));
  };
  EXPECT_EQ(two("[0, 4]", "[4, 8]", "12345678"), "no exception");
  EXPECT_EQ(two("[4, 8]", "[0, 4]", "12345678"), "no exception");
  EXPECT_EQ(two("[0, 4]", "[3, 7]", "1234567"),
            "[safetensors] : tensor 'b' begins at 3, where 4 was expected: tensors must not overlap or leave gaps");
  EXPECT_EQ(two("[0, 4]", "[0, 4]", "1234"),
            "[safetensors] : tensor 'b' begins at 0, where 4 was expected: tensors must not overlap or leave gaps");
  EXPECT_EQ(two("[0, 4]", "[5, 9]", "123456789"),
            "[safetensors] : tensor 'b' begins at 5, where 4 was expected: tensors must not overlap or leave gaps");
  EXPECT_EQ(two("[0, 4]", "[4, 8]", "123456789"),
            "[safetensors] : tensors end at 8, but the file has 9 bytes of data: truncated or damaged");
}

TEST_F(SafetensorsTest, RefusesToWriteNonsense) {
  const std::vector<float> four(4);
  const auto write = [&](TensorToWrite tensor) { write_safetensors(path_, std::vector{std::move(tensor)}); };
  EXPECT_THROW(write({"a", DType::f32, {3}, bytes_of(four)}), InvalidArgument);
  EXPECT_THROW(write({"a", DType::f32, {-4}, bytes_of(four)}), InvalidArgument);
  EXPECT_THROW(write({"__metadata__", DType::f32, {4}, bytes_of(four)}), InvalidArgument);
  EXPECT_THROW(write({"\xff", DType::f32, {4}, bytes_of(four)}), InvalidArgument);
  const TensorToWrite tensor{"a", DType::f32, {4}, bytes_of(four)};
  EXPECT_THROW(write_safetensors(path_, std::vector{tensor, tensor}), InvalidArgument);
  EXPECT_THROW(write_safetensors(path_, {}, {{"big", std::string(kMaxSafetensorsHeaderBytes, 'x')}}), InvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST(DType, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::c64); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(dtype_from_name(dtype_name(dtype)), dtype);
    EXPECT_GE(dtype_bytes(dtype), 1u);
  }
  EXPECT_FALSE(dtype_from_name("f32").has_value());
  EXPECT_EQ(dtype_name(DType::boolean), "BOOL");
  EXPECT_EQ(dtype_bytes(DType::bf16), 2u);
  EXPECT_EQ(dtype_bytes(DType::c64), 8u);
}

TEST(DType, TensorBytesAreChecked) {
  EXPECT_EQ(tensor_bytes(DType::f32, std::vector<std::int64_t>{}), 4u);
  EXPECT_EQ(tensor_bytes(DType::f64, std::vector<std::int64_t>{2, 3}), 48u);
  EXPECT_EQ(tensor_bytes(DType::f32, std::vector<std::int64_t>{INT64_MAX, INT64_MAX, 0}), 0u);
  EXPECT_FALSE(tensor_bytes(DType::f32, std::vector<std::int64_t>{INT64_MAX}).has_value());
  EXPECT_FALSE(tensor_bytes(DType::u8, std::vector<std::int64_t>{0, -1}).has_value());
}

// What it accepts must be whole: every byte of every tensor is read.
TEST_F(SafetensorsTest, EveryMutationIsReadOrRefused) {
  const auto read = [&](const std::string& input) {
    write_quickly(path_, input);
    const SafetensorsFile file = SafetensorsFile::open(path_);
    std::size_t sum = 0;
    for (const StoredTensor& tensor : file.tensors())
      for (std::byte b : tensor.bytes) sum += std::to_integer<std::size_t>(b);
    EXPECT_LE(sum, 255 * input.size());
  };
  const std::string content = valid_content();
  read(content);
  const auto counts = testing::fuzz_reader(content, read, {.max_allocation_bytes = std::size_t{4} << 20});
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

}  // namespace
}  // namespace limbeck::core
