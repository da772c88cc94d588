// The images that --input names: files, and folders of them.
#pragma once

#include <string>
#include <vector>

namespace limbeck::cli {

/// `inputs` with each folder replaced by the images in it (.png, .jpg, .jpeg, not below it) in the order of their
/// names. Throws IoError for a folder without any, or that cannot be read.
std::vector<std::string> with_folders_listed(const std::vector<std::string>& inputs);

}  // namespace limbeck::cli
