// The directory of a zip archive as torch writes them: records stored without compression, so that they can be used
// where they lie in a mapped file. libtorch's own reader (caffe2::serialize::PyTorchStreamReader) allocates what the
// directory claims before it looks at the file's size, checks no overlap and copies every record; here each record is
// a checked range of the given bytes. No libtorch.
// Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3 (zip64).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace limbeck::weights {

/// Records of one archive; a large checkpoint has some thousands.
inline constexpr std::uint64_t kMaxZipRecords = 1'000'000;
/// Characters of a record's name.
inline constexpr std::size_t kMaxZipNameLength = 4096;

struct ZipRecord {
  std::string name;
  std::size_t offset = 0;      ///< Of the content, from the start of the archive.
  std::size_t size_bytes = 0;  ///< Of the content as it lies in the archive.
  bool is_compressed = false;  ///< Or encrypted: then content() refuses it.
};

/// Whether the bytes begin as a zip archive does.
bool looks_like_zip(std::span<const std::byte> bytes);

class ZipDirectory {
 public:
  ZipDirectory(ZipDirectory&&) = default;
  ZipDirectory& operator=(ZipDirectory&&) = default;

  /// Reads the directory at the end of `bytes`. `where` begins every message. Throws IoError where the archive is
  /// truncated, malformed, has two records of one name, or records that overlap each other or the directory.
  static ZipDirectory read(std::span<const std::byte> bytes, std::string_view where);

  /// In the directory's order.
  const std::vector<ZipRecord>& records() const { return records_; }
  const ZipRecord* find(std::string_view name) const;

  /// Offset and size of a record's content; throws Unsupported if it is compressed or encrypted.
  const ZipRecord& stored(const ZipRecord& record) const;

  /// First part of the first record's name, without the slash: torch puts all records into one folder. Empty where
  /// the first record stands in no folder.
  const std::string& folder() const { return folder_; }
  /// The record FOLDER/name.
  const ZipRecord* find_in_folder(std::string_view name) const;
  /// Whether a record's name begins with FOLDER/prefix.
  bool has_in_folder(std::string_view prefix) const;

 private:
  ZipDirectory() = default;

  std::string where_;
  std::string folder_;
  std::vector<ZipRecord> records_;
  std::unordered_map<std::string_view, std::size_t> index_;  // views into records_, which does not change any more
};

}  // namespace limbeck::weights
