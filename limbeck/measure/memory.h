// Memory that this process alone occupies, and sizes of model files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace limbeck::measure {

/// Bytes of this process's private pages (Private_Clean + Private_Dirty of /proc/self/smaps_rollup, proc(5)): what
/// would come free if it ended, without libraries that it shares with others. Nothing where the kernel does not say:
/// never an estimate.
std::optional<std::uint64_t> private_memory_bytes();

/// The same from the text of an smaps_rollup file. Nothing if a field is missing or malformed.
std::optional<std::uint64_t> parse_private_bytes(std::string_view smaps_rollup);

/// Size of a model on disk: of the file, or of all regular files below a folder. Symbolic links are not followed below
/// it. Throws IoError if it cannot be read.
std::uint64_t size_on_disk_bytes(const std::filesystem::path& path);

}  // namespace limbeck::measure
