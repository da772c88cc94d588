#include "limbeck/graph/weights/pth_writer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "limbeck/core/error.h"
#include "limbeck/graph/weights/state_dict.h"
#include "tests/graph/weights/golden.h"

namespace limbeck::weights {
namespace {

/// What read_back_test.py expects to find, name for name.
std::vector<NamedTensor> various() {
  const at::Tensor base = pattern({4, 6});
  const at::Tensor large = pattern({1000});
  return {{"f64", pattern({2, 3}, at::kDouble)},
          {"f32", pattern({2, 3})},
          {"f16", pattern({2, 3}, at::kHalf)},
          {"bf16", pattern({2, 3}, at::kBFloat16)},
          {"i64", at::full({2}, std::int64_t{1} << 62, at::kLong)},
          {"i32", at::full({2}, -5, at::kInt)},
          {"i16", at::full({2}, -5, at::kShort)},
          {"i8", at::full({2}, -5, at::kChar)},
          {"u8", at::full({2}, 250, at::kByte)},
          {"bool", at::full({2}, true, at::kBool)},
          {"u16", at::full({2}, 65535, at::kInt).to(at::ScalarType::UInt16)},
          {"f8", at::full({2}, 0.5).to(at::ScalarType::Float8_e4m3fn)},
          {"c64", at::complex(pattern({2}), pattern({2}))},
          {"c64_conj", at::complex(pattern({2}), pattern({2})).conj()},
          {"scalar", at::scalar_tensor(2.5)},
          {"empty", at::empty({0, 3})},
          {"base", base},
          {"transposed", base.t()},
          {"row", base.select(0, 3)},
          {"tied", base},
          {"part", large.slice(0, 10, 12)},
          {"channels_last", pattern({1, 2, 2, 2}).contiguous(at::MemoryFormat::ChannelsLast)},
          {"requires_grad", pattern({2}).requires_grad_()},
          {"gr\xC3\xB6\xC3\x9F"
           "e",
           pattern({1})}};
}

/// Net of data/make_data.py with other values.
std::vector<NamedTensor> net() {
  return {{"fc.weight", pattern({2, 3}) * 2},
          {"fc.bias", pattern({2}) * 2},
          {"bn.weight", pattern({2}) * 2},
          {"bn.bias", pattern({2}) * 2},
          {"bn.running_mean", pattern({2}) * 2},
          {"bn.running_var", pattern({2}) * 2},
          {"bn.num_batches_tracked", at::full({}, 9, at::kLong)}};
}

/// Where files are written: LIMBECK_WRITE_TO if read_back_test.py set it, to read them with Python afterwards.
class PthWriter : public ::testing::Test {
 protected:
  std::filesystem::path folder() const {
    const char* wanted = std::getenv("LIMBECK_WRITE_TO");
    return wanted == nullptr ? temporary_.path() : std::filesystem::path(wanted);
  }
  std::string path(const char* name) const { return (folder() / name).string(); }
  core::TemporaryDirectory temporary_;
};

TEST_F(PthWriter, ReadsBackWhatItWrote) {
  const std::vector<NamedTensor> tensors = various();
  write_pth(path("various.pth"), tensors);
  const StateDict state = load_state_dict(path("various.pth"));
  ASSERT_EQ(state.tensors.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor& written = tensors[i].tensor;
    const at::Tensor& read = state.tensors[i].tensor;
    EXPECT_EQ(state.tensors[i].name, tensors[i].name);
    EXPECT_EQ(read.scalar_type(), written.scalar_type()) << tensors[i].name;
    const at::Tensor a = read.reshape(-1).view(at::kByte);
    const at::Tensor b = written.detach().resolve_conj().reshape(-1).view(at::kByte);
    EXPECT_TRUE(at::equal(a, b)) << tensors[i].name;
  }
  EXPECT_EQ(state.find("transposed")->strides(), at::IntArrayRef({1, 6}));
  EXPECT_TRUE(state.find("channels_last")->is_contiguous(at::MemoryFormat::ChannelsLast));
  for (const char* name : {"transposed", "row", "tied"})
    EXPECT_TRUE(state.find(name)->is_alias_of(*state.find("base")));
  EXPECT_EQ(state.find("part")->storage().nbytes(), 8u);  // the 998 other elements stay behind
}

TEST_F(PthWriter, WritesAStateDictForPython) {
  write_pth(path("net.pth"), net());
  write_pth(path("nothing.pth"), std::span<const NamedTensor>());
  EXPECT_EQ(load_state_dict(path("net.pth")).tensors.size(), 7u);
  EXPECT_TRUE(load_state_dict(path("nothing.pth")).tensors.empty());
}

TEST_F(PthWriter, EqualInputGivesEqualFiles) {
  write_pth(path("first.pth"), net());
  write_pth(path("second.pth"), net());
  EXPECT_EQ(core::read_file(path("first.pth")), core::read_file(path("second.pth")));
}

TEST_F(PthWriter, RefusesWhatPythonCouldNotRead) {
  const at::Tensor floats = pattern({4});
  const std::string out = path("refused.pth");
  EXPECT_THROW(write_pth(out, std::vector<NamedTensor>{{"a", floats}, {"a", floats}}), InvalidArgument);
  EXPECT_THROW(write_pth(out, std::vector<NamedTensor>{{"a", floats.to_sparse()}}), Unsupported);
  EXPECT_THROW(write_pth(out, std::vector<NamedTensor>{{"a", floats}, {"b", floats.view(at::kInt)}}), Unsupported);
  EXPECT_FALSE(std::filesystem::exists(out));
}

/// Files of this process end at so many bytes, as on a full disk, while this lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

/// The first limit fails before anything is written, the others inside libtorch's zip writer.
TEST_F(PthWriter, AFullDiskIsAnErrorAndLeavesNothing) {
  for (const rlim_t bytes : {100, 2000, 3000}) {
    const FileSizeLimit limit(bytes);
    EXPECT_THROW(write_pth(path("net.pth"), net()), IoError) << bytes;
  }
  EXPECT_THROW(write_pth(path("missing/weights.pth"), net()), IoError);
  EXPECT_TRUE(std::filesystem::is_empty(folder()));
  write_pth(path("net.pth"), net());
  EXPECT_GT(core::file_size(path("net.pth")), 3000u);
}

}  // namespace
}  // namespace limbeck::weights
