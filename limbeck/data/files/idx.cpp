#include "limbeck/data/files/idx.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"

#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace limbeck::data {
namespace {

// RFC 1951: a match of 258 bytes costs at least two bits, so no deflate stream expands by more.
constexpr std::uint64_t kMaxDeflateRatio = 1032;
constexpr std::uint8_t kUnsignedByte = 0x08;

bool is_gzip(std::span<const std::uint8_t> bytes) { return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b; }

// The contents of a file, in order: as they are, or inflated.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills the start of `out` and returns how many bytes came: fewer than asked only at the end.
  virtual std::size_t read(std::span<std::uint8_t> out) = 0;
  // After the end: whether it was the proper one.
  virtual bool is_complete() const = 0;
};

class PlainSource final : public ByteSource {
 public:
  explicit PlainSource(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  std::size_t read(std::span<std::uint8_t> out) override {
    const std::size_t count = std::min(out.size(), rest_.size());
    std::copy_n(rest_.begin(), count, out.begin());
    rest_ = rest_.subspan(count);
    return count;
  }
  bool is_complete() const override { return rest_.empty(); }

 private:
  std::span<const std::uint8_t> rest_;
};

class GzipSource final : public ByteSource {
 public:
  GzipSource(std::span<const std::uint8_t> bytes, const std::string& name) : rest_(bytes), name_(name) {
    constexpr int kGzipWindow = 15 + 16;  // zlib.h: 16 selects the gzip wrapper, whose checksum is then verified
    if (inflateInit2(&stream_, kGzipWindow) != Z_OK) fail<IoError>("[idx] {}: zlib could not start.", name_);
  }
  ~GzipSource() override { inflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  std::size_t read(std::span<std::uint8_t> out) override {
    std::size_t done = 0;
    while (done < out.size() && !at_end_) {
      refill();
      stream_.next_out = out.data() + done;
      const auto room = static_cast<uInt>(std::min(out.size() - done, kMaxChunk));
      stream_.avail_out = room;
      const int code = inflate(&stream_, Z_NO_FLUSH);
      done += room - stream_.avail_out;
      if (code == Z_STREAM_END) {
        finish_member();
      } else if (code == Z_BUF_ERROR || (code == Z_OK && stream_.avail_in == 0 && rest_.empty())) {
        at_end_ = stream_.avail_out != 0;  // input ended inside the stream: the caller sees too few bytes
      } else if (code != Z_OK) {
        fail<IoError>("[idx] {} is damaged ({}). Fetch the file again.", name_,
                      stream_.msg != nullptr ? stream_.msg : "invalid gzip data");
      }
    }
    return done;
  }
  bool is_complete() const override { return is_complete_; }

 private:
  static constexpr std::size_t kMaxChunk = std::size_t{1} << 30;  // zlib counts in 32 bits

  void refill() {
    if (stream_.avail_in != 0 || rest_.empty()) return;
    const std::size_t count = std::min(rest_.size(), kMaxChunk);
    stream_.next_in = const_cast<Bytef*>(rest_.data());
    stream_.avail_in = static_cast<uInt>(count);
    rest_ = rest_.subspan(count);
  }

  // A gzip file may hold several members one after the other (RFC 1952, 2.2).
  void finish_member() {
    refill();
    if (is_gzip({stream_.next_in, stream_.avail_in})) {
      inflateReset(&stream_);
      return;
    }
    at_end_ = true;
    is_complete_ = true;
  }

  z_stream stream_{};
  std::span<const std::uint8_t> rest_;
  const std::string& name_;
  bool at_end_ = false;
  bool is_complete_ = false;
};

const char* type_name(std::uint8_t code) {
  switch (code) {
    case 0x08:
      return "unsigned byte";
    case 0x09:
      return "signed byte";
    case 0x0B:
      return "16-bit integer";
    case 0x0C:
      return "32-bit integer";
    case 0x0D:
      return "32-bit float";
    case 0x0E:
      return "64-bit float";
    default:
      return "unknown";
  }
}

void read_header_bytes(ByteSource& source, std::span<std::uint8_t> out, const std::string& name) {
  if (source.read(out) != out.size()) {
    fail<IoError>("[idx] {} is truncated: it ends inside the header. Fetch the file again.", name);
  }
}

std::vector<std::int64_t> read_dims(ByteSource& source, const std::string& name, const IdxLimits& limits) {
  std::uint8_t magic[4];
  read_header_bytes(source, magic, name);
  if (magic[0] != 0 || magic[1] != 0) {
    fail<IoError>("[idx] {} is not an IDX file: it must start with 00 00, got {:02x} {:02x}. Name the right file.",
                  name, magic[0], magic[1]);
  }
  if (magic[2] != kUnsignedByte) {
    fail<IoError>("[idx] {} must hold unsigned bytes (type 0x08), got type 0x{:02x} ({}). Convert it to bytes.", name,
                  magic[2], type_name(magic[2]));
  }
  const int num_dims = magic[3];
  if (num_dims < 1 || num_dims > limits.max_dims) {
    fail<IoError>("[idx] {} must have 1 to {} dimensions, got {}. Name a file of images or labels.", name,
                  limits.max_dims, num_dims);
  }
  std::vector<std::int64_t> dims;
  for (int i = 0; i < num_dims; ++i) {
    std::uint8_t size[4];
    read_header_bytes(source, size, name);
    dims.push_back(std::int64_t{size[0]} << 24 | size[1] << 16 | size[2] << 8 | size[3]);
  }
  return dims;
}

std::uint64_t checked_size(const std::vector<std::int64_t>& dims, const std::string& name, const IdxLimits& limits) {
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return 0;
  std::uint64_t total = 1;
  for (const std::int64_t dim : dims) {
    const auto size = static_cast<std::uint64_t>(dim);
    if (total > limits.max_bytes / size) {
      fail<IoError>("[idx] {} is too large: [{}] exceeds the limit of {} bytes. Split it.", name, fmt::join(dims, ", "),
                    limits.max_bytes);
    }
    total *= size;
  }
  return total;
}

[[noreturn]] void fail_truncated(const std::string& name, const std::vector<std::int64_t>& dims,
                                 std::uint64_t expected) {
  fail<IoError>("[idx] {} is truncated: its header says [{}], {} bytes, and there are fewer. Fetch the file again.",
                name, fmt::join(dims, ", "), expected);
}

std::unique_ptr<ByteSource> open_source(std::span<const std::uint8_t> file, const std::string& name) {
  if (is_gzip(file)) return std::make_unique<GzipSource>(file, name);
  return std::make_unique<PlainSource>(file);
}

}  // namespace

IdxArray parse_idx(std::span<const std::uint8_t> file, const std::string& name, const IdxLimits& limits) {
  const auto source = open_source(file, name);
  IdxArray array;
  array.dims = read_dims(*source, name, limits);
  const std::uint64_t expected = checked_size(array.dims, name, limits);
  const std::uint64_t possible = is_gzip(file) ? file.size() * kMaxDeflateRatio : file.size();
  if (expected > possible) fail_truncated(name, array.dims, expected);
  array.bytes.resize(expected);
  if (source->read(array.bytes) != expected) fail_truncated(name, array.dims, expected);
  std::uint8_t excess;
  if (source->read({&excess, 1}) != 0) {
    fail<IoError>("[idx] {} is longer than its header says, [{}]. Fetch the file again.", name,
                  fmt::join(array.dims, ", "));
  }
  if (!source->is_complete()) fail_truncated(name, array.dims, expected);
  return array;
}

IdxArray read_idx(const std::string& path, const IdxLimits& limits) {
  const std::string file = core::read_file(path, limits.max_bytes);
  return parse_idx({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()}, path, limits);
}

}  // namespace limbeck::data
