#include "limbeck/train/loop/event_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>

#include "limbeck/core/error.h"
#include "limbeck/core/files/crc32c.h"
#include "limbeck/core/files/file.h"

namespace limbeck::train {

namespace {

/// A message of protocol buffers, field by field.
class Message {
 public:
  const std::string& bytes() const { return bytes_; }

  void add_varint(int field, uint64_t value) {
    put_varint(static_cast<uint64_t>(field) << 3);
    put_varint(value);
  }
  void add_double(int field, double value) {
    put_varint(static_cast<uint64_t>(field) << 3 | 1);
    put_little_endian(std::bit_cast<uint64_t>(value), 8);
  }
  void add_float(int field, float value) {
    put_varint(static_cast<uint64_t>(field) << 3 | 5);
    put_little_endian(std::bit_cast<uint32_t>(value), 4);
  }
  void add_bytes(int field, std::string_view value) {
    put_varint(static_cast<uint64_t>(field) << 3 | 2);
    put_varint(value.size());
    bytes_ += value;
  }
  void put_little_endian(uint64_t value, int num_bytes) {
    for (int i = 0; i < num_bytes; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xFF);
  }

 private:
  void put_varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7F) | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

// Field numbers of event.proto and summary.proto.
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;  // Event
constexpr int kStatus = 1;                                                                // SessionLog
constexpr uint64_t kStart = 1;                                                            // SessionLog.SessionStatus
constexpr int kValue = 1;                                                                 // Summary
constexpr int kTag = 1, kSimpleValue = 2;                                                 // Summary.Value

double now_in_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Message begin_event(int64_t step) {
  Message event;
  event.add_double(kWallTime, now_in_seconds());
  event.add_varint(kStep, static_cast<uint64_t>(step));
  return event;
}

/// As TFRecord masks checksums, so that a checksum of data that holds checksums is a good one.
uint32_t masked_crc(std::string_view bytes) { return std::rotr(core::crc32c(core::as_bytes(bytes)), 15) + 0xA282EAD8U; }

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& folder, int64_t first_step) {
  core::create_directories(folder);
  // TensorBoard reads the files of a folder in the order of their names.
  const auto microseconds = static_cast<int64_t>(now_in_seconds() * 1e6);
  path_ = folder / fmt::format("events.out.tfevents.{}.{:06}.{}.{}", microseconds / 1'000'000, microseconds % 1'000'000,
                               host_name(), ::getpid());
  file_.open(path_, std::ios::binary | std::ios::app);
  if (!file_) fail<IoError>("[tensorboard] cannot write {}", path_.string());
  Message version = begin_event(0);
  version.add_bytes(kFileVersion, "brain.Event:2");
  write_record(version.bytes());
  Message session;
  session.add_varint(kStatus, kStart);
  Message start = begin_event(first_step);
  start.add_bytes(kSessionLog, session.bytes());
  write_record(start.bytes());
}

void EventFile::add_scalars(int64_t step, const Scalars& scalars) {
  Message summary;
  for (const auto& [tag, number] : scalars) {
    Message value;
    value.add_bytes(kTag, tag);
    value.add_float(kSimpleValue, static_cast<float>(number));
    summary.add_bytes(kValue, value.bytes());
  }
  Message event = begin_event(step);
  event.add_bytes(kSummary, summary.bytes());
  write_record(event.bytes());
}

void EventFile::write_record(std::string_view event) {
  Message length, crc_of_length, crc_of_event;
  length.put_little_endian(event.size(), 8);
  crc_of_length.put_little_endian(masked_crc(length.bytes()), 4);
  crc_of_event.put_little_endian(masked_crc(event), 4);
  file_ << length.bytes() << crc_of_length.bytes() << event << crc_of_event.bytes() << std::flush;
  if (!file_) fail<IoError>("[tensorboard] cannot write {}", path_.string());
}

}  // namespace limbeck::train
