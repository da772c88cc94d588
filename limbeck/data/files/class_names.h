// Names of classes in a text file, one a line: batches.meta.txt, fine_label_names.txt, class_names.txt.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace limbeck::data {

/// The lines of `text`, without ends of line of either kind and without empty lines at the end. `source` is what
/// messages call it. Throws IoError for an empty line before others, two equal lines, more than 100,000 of them, one
/// longer than 1,000 bytes, or one that is not UTF-8.
std::vector<std::string> parse_class_names(std::string_view text, const std::string& source);

/// Reads the file at `path`, of at most 16 MiB; errors as parse_class_names, and IoError if it cannot be read.
std::vector<std::string> read_class_names(const std::filesystem::path& path);

/// Names "0", "1", ... for classes that have none.
std::vector<std::string> numbered_class_names(std::int64_t num_classes);

}  // namespace limbeck::data
