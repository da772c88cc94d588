#include "cli/image_inputs.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include "limbeck/core/error.h"

namespace limbeck::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 3> kImages{".png", ".jpg", ".jpeg"};

bool is_image_name(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(kImages.begin(), kImages.end(), extension) != kImages.end();
}

std::vector<std::string> images_in(const fs::path& folder) {
  std::vector<std::string> images;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (is_image_name(entry->path()) && !entry->is_directory(ignored)) images.push_back(entry->path().string());
  }
  if (error) fail<IoError>("[infer] cannot read the folder {}: {}", folder.string(), error.message());
  if (images.empty()) {
    fail<IoError>("[infer] the folder {} has no image (.png, .jpg, .jpeg). Name another, or the images themselves.",
                  folder.string());
  }
  std::sort(images.begin(), images.end());
  return images;
}

}  // namespace

std::vector<std::string> with_folders_listed(const std::vector<std::string>& inputs) {
  std::vector<std::string> images;
  for (const std::string& input : inputs) {
    std::error_code ignored;
    if (!fs::is_directory(input, ignored)) {
      images.push_back(input);
      continue;
    }
    const std::vector<std::string> inside = images_in(input);
    images.insert(images.end(), inside.begin(), inside.end());
  }
  return images;
}

}  // namespace limbeck::cli
