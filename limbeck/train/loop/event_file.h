// TensorBoard event files: scalars by tag and step. Record framing of TFRecord (length, masked CRC-32C of the length,
// payload, masked CRC-32C of the payload) around messages of event.proto and summary.proto, of which scalars need five
// fields.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace limbeck::train {

using Scalars = std::vector<std::pair<std::string, double>>;  // tag, value

class EventFile {
 public:
  /// Opens a new file events.out.tfevents.TIME.HOST.PID in `folder`, which it makes. `first_step` is the step that
  /// comes next: what earlier files of the folder say of it and later ones is void (a run that goes on from a
  /// checkpoint). Throws IoError.
  EventFile(const std::filesystem::path& folder, int64_t first_step);

  /// Appends and flushes one event. Values become float32, as TensorBoard keeps them. Throws IoError.
  void add_scalars(int64_t step, const Scalars& scalars);

  const std::filesystem::path& path() const { return path_; }

 private:
  void write_record(std::string_view event);

  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace limbeck::train
