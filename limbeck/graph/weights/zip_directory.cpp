#include "limbeck/graph/weights/zip_directory.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>

#include "limbeck/core/error.h"
#include "limbeck/core/utf8.h"
#include "limbeck/graph/weights/pickle/pickle_value.h"

namespace limbeck::weights {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kCentralHeader = 0x02014b50;
constexpr std::uint32_t kEndOfDirectory = 0x06054b50;
constexpr std::uint32_t kZip64EndOfDirectory = 0x06064b50;
constexpr std::uint32_t kZip64Locator = 0x07064b50;
constexpr std::size_t kLocalHeaderBytes = 30;
constexpr std::size_t kCentralHeaderBytes = 46;
constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kZip64EndBytes = 56;
constexpr std::size_t kZip64LocatorBytes = 20;
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::uint16_t kEncryptedFlag = 1;
constexpr std::uint32_t kIn64 = 0xFFFFFFFF;

/// The archive's bytes with checked reads.
class Bytes {
 public:
  Bytes(std::span<const std::byte> bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  [[noreturn]] void malformed(std::string_view what) const {
    fail<IoError>("[zip] {}: {}. The file is truncated or damaged; copy or save it again", where_, what);
  }

  std::uint64_t size() const { return bytes_.size(); }

  /// Refuses a range that does not end before `end`.
  void require(std::uint64_t offset, std::uint64_t count, std::uint64_t end, const char* what) const {
    if (end > bytes_.size() || offset > end || count > end - offset) malformed(what);
  }

  template <class T>
  T word(std::uint64_t offset) const {
    require(offset, sizeof(T), bytes_.size(), "a header ends beyond the file");
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }

  std::string text(std::uint64_t offset, std::size_t count) const {
    require(offset, count, bytes_.size(), "a name ends beyond the file");
    return {reinterpret_cast<const char*>(bytes_.data()) + offset, count};
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view where_;
};

struct Central {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t records = 0;
  std::uint64_t end = 0;  ///< Where the directory must have ended: the end record's start.
};

/// The end record stands at the end of the file, followed by a comment whose length it tells.
std::uint64_t find_end_record(const Bytes& bytes) {
  constexpr std::uint64_t kMaxComment = 0xFFFF;
  if (bytes.size() < kEndBytes) bytes.malformed("too short for an archive");
  const std::uint64_t last = bytes.size() - kEndBytes;
  const std::uint64_t first = last > kMaxComment ? last - kMaxComment : 0;
  for (std::uint64_t at = last + 1; at-- > first;) {
    if (bytes.word<std::uint32_t>(at) == kEndOfDirectory &&
        at + kEndBytes + bytes.word<std::uint16_t>(at + 20) == bytes.size()) {
      return at;
    }
  }
  bytes.malformed("no directory at the end");
}

Central read_zip64_end(const Bytes& bytes, std::uint64_t locator) {
  const std::uint64_t at = bytes.word<std::uint64_t>(locator + 8);
  bytes.require(at, kZip64EndBytes, locator, "the zip64 directory's end lies beyond the file");
  if (bytes.word<std::uint32_t>(at) != kZip64EndOfDirectory) bytes.malformed("the zip64 directory's end is missing");
  Central central;
  central.records = bytes.word<std::uint64_t>(at + 32);
  central.size = bytes.word<std::uint64_t>(at + 40);
  central.offset = bytes.word<std::uint64_t>(at + 48);
  central.end = at;
  return central;
}

Central find_central(const Bytes& bytes) {
  const std::uint64_t end = find_end_record(bytes);
  Central central;
  if (end >= kZip64LocatorBytes && bytes.word<std::uint32_t>(end - kZip64LocatorBytes) == kZip64Locator) {
    central = read_zip64_end(bytes, end - kZip64LocatorBytes);
  } else {
    central.records = bytes.word<std::uint16_t>(end + 10);
    central.size = bytes.word<std::uint32_t>(end + 12);
    central.offset = bytes.word<std::uint32_t>(end + 16);
    central.end = end;
  }
  bytes.require(central.offset, central.size, central.end, "the directory lies beyond the file");
  if (central.records > kMaxZipRecords) bytes.malformed("too many records");
  if (central.records > central.size / kCentralHeaderBytes)
    bytes.malformed("the directory is too short for its records");
  return central;
}

struct Extent {
  std::uint64_t content = 0;
  std::uint64_t stored = 0;
  std::uint64_t header = 0;
};

/// Fills what a central header left to its zip64 extra field, in the order that the format fixes.
void read_zip64_extra(const Bytes& bytes, std::uint64_t extra, std::uint64_t extra_end, Extent& extent) {
  for (std::uint64_t at = extra; at + 4 <= extra_end;) {
    const auto id = bytes.word<std::uint16_t>(at);
    const std::uint64_t field_end = at + 4 + bytes.word<std::uint16_t>(at + 2);
    if (field_end > extra_end) bytes.malformed("an extra field is too long");
    if (id == kZip64Extra) {
      std::uint64_t next = at + 4;
      for (std::uint64_t* value : {&extent.content, &extent.stored, &extent.header}) {
        if (*value != kIn64) continue;
        if (next + 8 > field_end) bytes.malformed("a zip64 field is too short");
        *value = bytes.word<std::uint64_t>(next);
        next += 8;
      }
      return;
    }
    at = field_end;
  }
}

/// Reads the central header at `at` and steps over it.
ZipRecord read_record(const Bytes& bytes, const Central& central, std::uint64_t& at) {
  const std::uint64_t end = central.offset + central.size;
  bytes.require(at, kCentralHeaderBytes, end, "a record's header lies beyond the directory");
  if (bytes.word<std::uint32_t>(at) != kCentralHeader) bytes.malformed("a record's header is missing");
  const auto flags = bytes.word<std::uint16_t>(at + 8);
  const auto method = bytes.word<std::uint16_t>(at + 10);
  Extent extent{bytes.word<std::uint32_t>(at + 24), bytes.word<std::uint32_t>(at + 20),
                bytes.word<std::uint32_t>(at + 42)};
  const std::size_t name_length = bytes.word<std::uint16_t>(at + 28);
  const std::uint64_t extra = at + kCentralHeaderBytes + name_length;
  const std::uint64_t extra_end = extra + bytes.word<std::uint16_t>(at + 30);
  const std::uint64_t next = extra_end + bytes.word<std::uint16_t>(at + 32);
  bytes.require(at, next - at, end, "a record's header lies beyond the directory");
  if (name_length == 0 || name_length > kMaxZipNameLength) bytes.malformed("a record's name is empty or too long");
  read_zip64_extra(bytes, extra, extra_end, extent);

  ZipRecord record;
  record.name = bytes.text(at + kCentralHeaderBytes, name_length);
  record.is_compressed = method != 0 || (flags & kEncryptedFlag) != 0;
  if (!record.is_compressed && extent.content != extent.stored) bytes.malformed("a stored record has two sizes");
  bytes.require(extent.header, kLocalHeaderBytes, central.offset, "a record lies beyond the file");
  if (bytes.word<std::uint32_t>(extent.header) != kLocalHeader) bytes.malformed("a record's local header is missing");
  const std::uint64_t content = extent.header + kLocalHeaderBytes + bytes.word<std::uint16_t>(extent.header + 26) +
                                bytes.word<std::uint16_t>(extent.header + 28);
  bytes.require(content, extent.stored, central.offset, "a record lies beyond the file");
  record.offset = content;
  record.size_bytes = extent.stored;
  at = next;
  return record;
}

void refuse_overlaps(const Bytes& bytes, const std::vector<ZipRecord>& records) {
  std::vector<const ZipRecord*> order;
  order.reserve(records.size());
  for (const ZipRecord& record : records) order.push_back(&record);
  std::sort(order.begin(), order.end(), [](const ZipRecord* a, const ZipRecord* b) {
    return a->offset != b->offset ? a->offset < b->offset : a->size_bytes < b->size_bytes;
  });
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (order[i - 1]->offset + order[i - 1]->size_bytes > order[i]->offset) bytes.malformed("two records overlap");
  }
}

}  // namespace

bool looks_like_zip(std::span<const std::byte> bytes) {
  std::uint32_t magic = 0;
  if (bytes.size() < sizeof(magic)) return false;
  std::memcpy(&magic, bytes.data(), sizeof(magic));
  return magic == kLocalHeader;
}

ZipDirectory ZipDirectory::read(std::span<const std::byte> data, std::string_view where) {
  const Bytes bytes(data, where);
  const Central central = find_central(bytes);
  ZipDirectory directory;
  directory.where_ = where;
  directory.records_.reserve(central.records);
  std::uint64_t at = central.offset;
  for (std::uint64_t i = 0; i < central.records; ++i) directory.records_.push_back(read_record(bytes, central, at));
  refuse_overlaps(bytes, directory.records_);
  directory.index_.reserve(central.records);
  for (std::size_t i = 0; i < directory.records_.size(); ++i) {
    if (!directory.index_.emplace(directory.records_[i].name, i).second) {
      bytes.malformed("two records are named '" + core::printable(directory.records_[i].name) + "'");
    }
  }
  if (directory.records_.empty()) bytes.malformed("no records");
  const std::string& first = directory.records_.front().name;
  const std::size_t slash = first.find('/');
  if (slash != std::string::npos) directory.folder_ = first.substr(0, slash);
  return directory;
}

const ZipRecord* ZipDirectory::find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &records_[it->second];
}

const ZipRecord& ZipDirectory::stored(const ZipRecord& record) const {
  if (record.is_compressed) {
    fail<Unsupported>(
        "[zip] {}: record '{}' is compressed or encrypted. Unpack the archive and pack it again without "
        "compression (zip -0 -r), or save it again with torch.save",
        where_, core::printable(record.name));
  }
  return record;
}

const ZipRecord* ZipDirectory::find_in_folder(std::string_view name) const {
  std::string full = folder_;
  if (!full.empty()) full += '/';
  return find(full.append(name));
}

bool ZipDirectory::has_in_folder(std::string_view prefix) const {
  std::string full = folder_;
  if (!full.empty()) full += '/';
  full.append(prefix);
  return std::any_of(records_.begin(), records_.end(),
                     [&](const ZipRecord& record) { return record.name.starts_with(full); });
}

}  // namespace limbeck::weights
