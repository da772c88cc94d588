#include "cli/image_inputs.h"

#include <filesystem>

#include "limbeck/core/error.h"
#include "limbeck/data/files/image_folder.h"

namespace limbeck::cli {

namespace fs = std::filesystem;

std::vector<std::string> with_folders_listed(const std::vector<std::string>& inputs) {
  std::vector<std::string> images;
  for (const std::string& input : inputs) {
    std::error_code ignored;
    if (!fs::is_directory(input, ignored)) {
      images.push_back(input);
      continue;
    }
    const std::vector<std::string> inside = data::images_in(input);
    if (inside.empty()) {
      fail<IoError>("[infer] the folder {} has no image (.png, .jpg, .jpeg). Name another, or the images themselves.",
                    input);
    }
    images.insert(images.end(), inside.begin(), inside.end());
  }
  return images;
}

}  // namespace limbeck::cli
