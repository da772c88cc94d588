// A model and data that train in a blink, shared by the tests of the verbs.
#pragma once

#include <filesystem>
#include <string>

namespace limbeck::testing {

inline constexpr const char* kTinyModel = "resnet_basic?widths=4,8&blocks=1,1&image_size=8&in_channels=1&classes=4";
inline constexpr const char* kTinyData = "synthetic:4x1x8x8?n=64";

/// A model of kTinyModel, trained on kTinyData by `limbeck train`, once for the whole process.
const std::filesystem::path& tiny_trained_model();

/// A file that the tests of a reader have.
inline std::string test_file(const std::string& path) { return LIMBECK_SOURCE_DIR "/tests/" + path; }

/// Whether `text` contains `part`.
inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace limbeck::testing
