#include "limbeck/data/files/npy.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/utf8.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

namespace limbeck::data {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kMaxHeaderBytes = std::size_t{64} << 10;
constexpr std::size_t kMaxDims = 32;  // NumPy's own limit until 2.0

struct DtypeName {
  std::string_view name;  // without its byte order
  at::ScalarType dtype;
};

constexpr std::array<DtypeName, 12> kDtypes{{{"b1", at::kBool},
                                             {"i1", at::kChar},
                                             {"i2", at::kShort},
                                             {"i4", at::kInt},
                                             {"i8", at::kLong},
                                             {"u1", at::kByte},
                                             {"u2", at::kUInt16},
                                             {"u4", at::kUInt32},
                                             {"u8", at::kUInt64},
                                             {"f2", at::kHalf},
                                             {"f4", at::kFloat},
                                             {"f8", at::kDouble}}};

[[noreturn]] void fail_damaged(const std::string& name, std::string_view what) {
  fail<IoError>("[npy] {} cannot be read: {}. Save it again with numpy.save.", name, what);
}

// The grammar of the header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, keys in any order.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  NpyHeader parse() {
    expect('{');
    while (!accept('}')) {
      parse_member();
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (!text_.empty()) fail_damaged(name_, "something follows its header's dictionary");
    if (!has_descr_ || !has_order_ || !has_shape_) {
      fail_damaged(name_, "its header must have the keys descr, fortran_order and shape");
    }
    return std::move(header_);
  }

 private:
  void parse_member() {
    const std::string_view key = string();
    expect(':');
    if (key == "descr" && !std::exchange(has_descr_, true)) {
      parse_descr();
    } else if (key == "fortran_order" && !std::exchange(has_order_, true)) {
      header_.is_fortran_order = boolean();
    } else if (key == "shape" && !std::exchange(has_shape_, true)) {
      parse_shape();
    } else {
      fail_damaged(name_, fmt::format("its header has an unexpected key '{}'", core::printable(key)));
    }
  }

  void parse_descr() {
    skip_space();
    if (text_.starts_with('[')) {
      fail<Unsupported>("[npy] {} holds records. Save their fields as arrays of their own.", name_);
    }
    const std::string_view descr = string();
    const std::string_view type = descr.substr(std::min<std::size_t>(descr.size(), 1));
    const auto known =
        std::find_if(kDtypes.begin(), kDtypes.end(), [&](const DtypeName& one) { return one.name == type; });
    if (known == kDtypes.end() || std::string_view("<>|=").find(descr[0]) == std::string_view::npos) {
      fail<Unsupported>(
          "[npy] {} holds values of type '{}': bool, integers, float16, float32 and float64 can be read. "
          "Convert it with astype.",
          name_, core::printable(descr));
    }
    header_.dtype = known->dtype;
    header_.byte_order = descr[0] == '>' ? ByteOrder::big : ByteOrder::little;
  }

  void parse_shape() {
    expect('(');
    while (!accept(')')) {
      if (header_.shape.size() == kMaxDims) fail_damaged(name_, "it has more than 32 dimensions");
      header_.shape.push_back(integer());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
  }

  std::string_view string() {
    skip_space();
    const char quote = text_.empty() ? '\0' : text_.front();
    if (quote != '\'' && quote != '"') fail_damaged(name_, "a string is missing in its header");
    const std::size_t end = text_.find(quote, 1);
    if (end == std::string_view::npos) fail_damaged(name_, "a string in its header does not end");
    const std::string_view value = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return value;
  }

  bool boolean() {
    skip_space();
    for (const auto& [word, value] : {std::pair<std::string_view, bool>{"True", true}, {"False", false}}) {
      if (!text_.starts_with(word)) continue;
      text_.remove_prefix(word.size());
      return value;
    }
    fail_damaged(name_, "fortran_order must be True or False");
  }

  std::int64_t integer() {
    skip_space();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
    if (error != std::errc{} || value < 0) fail_damaged(name_, "its shape must consist of whole numbers");
    text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
    if (text_.starts_with('L')) text_.remove_prefix(1);  // Python 2 wrote 3L
    return value;
  }

  bool accept(char wanted) {
    skip_space();
    if (!text_.starts_with(wanted)) return false;
    text_.remove_prefix(1);
    return true;
  }

  void expect(char wanted) {
    if (!accept(wanted)) fail_damaged(name_, fmt::format("its header lacks a '{}'", wanted));
  }

  void skip_space() {
    const std::size_t first = text_.find_first_not_of(" \t\r\n");
    text_.remove_prefix(first == std::string_view::npos ? text_.size() : first);
  }

  std::string_view text_;
  const std::string& name_;
  NpyHeader header_;
  bool has_descr_ = false, has_order_ = false, has_shape_ = false;
};

std::size_t little_endian(std::span<const std::byte> bytes) {
  std::size_t value = 0;
  for (std::size_t i = bytes.size(); i > 0; --i) value = value << 8 | std::to_integer<std::size_t>(bytes[i - 1]);
  return value;
}

// The header's text and, as offset, where it ends.
std::pair<std::string_view, std::size_t> header_text(std::span<const std::byte> file, const std::string& name) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!text.starts_with(kMagic) || file.size() < kMagic.size() + 2) fail_damaged(name, "it is no .npy file");
  const int version = std::to_integer<int>(file[kMagic.size()]);
  if (version < 1 || version > 3) fail_damaged(name, fmt::format("its version is {}, known are 1 to 3", version));
  const std::size_t length_at = kMagic.size() + 2, length_bytes = version == 1 ? 2 : 4;
  if (file.size() < length_at + length_bytes) fail_damaged(name, "it ends inside the header");
  const std::size_t first = length_at + length_bytes, size = little_endian(file.subspan(length_at, length_bytes));
  if (size > kMaxHeaderBytes) fail_damaged(name, "its header is longer than 64 KiB");
  if (size > file.size() - first) fail_damaged(name, "it ends inside the header");
  return {text.substr(first, size), first + size};
}

// Nothing if the product overflows.
std::optional<std::size_t> bytes_of(const NpyHeader& header) {
  std::size_t bytes = c10::elementSize(header.dtype);
  const bool is_empty = std::find(header.shape.begin(), header.shape.end(), 0) != header.shape.end();
  for (const std::int64_t side : header.shape) {
    const auto count = static_cast<std::size_t>(std::max<std::int64_t>(side, 1));
    if (bytes > static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max()) / count) return std::nullopt;
    bytes *= count;
  }
  return is_empty ? 0 : bytes;
}

// A contiguous copy in this machine's byte order.
at::Tensor copied(const std::byte* values, const NpyHeader& header, const std::vector<std::int64_t>& sizes) {
  at::Tensor result = at::empty(sizes, header.dtype);
  auto* out = static_cast<std::byte*>(result.mutable_data_ptr());
  const std::size_t width = c10::elementSize(header.dtype);
  std::copy_n(values, result.nbytes(), out);
  if (header.byte_order == ByteOrder::little || width == 1) return result;
  for (std::size_t at = 0; at < result.nbytes(); at += width) std::reverse(out + at, out + at + width);
  return result;
}

}  // namespace

NpyHeader parse_npy_header(std::span<const std::byte> file, const std::string& name) {
  const auto [text, offset] = header_text(file, name);
  NpyHeader header = HeaderParser(text, name).parse();
  header.offset = offset;
  const auto expected = bytes_of(header);
  if (!expected || *expected != file.size() - offset) {
    fail_damaged(name, fmt::format("its header promises {} bytes of values and {} follow",
                                   expected ? std::to_string(*expected) : "too many", file.size() - offset));
  }
  return header;
}

at::Tensor read_npy(const std::filesystem::path& path) {
  const auto mapping = core::MappedFile::open(path, core::MappedFile::Access::private_writable);
  const NpyHeader header = parse_npy_header(mapping->bytes(), path.string());
  std::vector<std::int64_t> sizes = header.shape;
  if (header.is_fortran_order) std::reverse(sizes.begin(), sizes.end());
  std::byte* values = mapping->writable_bytes().data() + header.offset;
  const std::size_t width = c10::elementSize(header.dtype);
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(values) % width == 0;
  const bool is_native = header.byte_order == ByteOrder::little || width == 1;
  at::Tensor array = is_aligned && is_native ? at::from_blob(
                                                   values, sizes, [mapping](void*) {}, header.dtype)
                                             : copied(values, header, sizes);
  if (!header.is_fortran_order) return array;
  std::vector<std::int64_t> order(sizes.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(order.size() - 1 - i);
  return array.permute(order);
}

}  // namespace limbeck::data
