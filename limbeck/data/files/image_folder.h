// A folder with one sub-folder of image files a class: the layout of torchvision's ImageFolder, in its order.
#pragma once

#include "limbeck/data/dataset.h"
#include "limbeck/data/files/image_file.h"

#include <filesystem>

namespace limbeck::data {

struct ImageFolderOptions {
  Channels channels = Channels::rgb;  ///< that every image is decoded to
  ImageLimits limits = {};            ///< of a file
  std::vector<std::string> class_names =
      {};  ///< sub-folders, in the order of labels; empty: all that there are, sorted
};

/// The sub-folders of `folder`, sorted by their names' bytes: the classes. Throws IoError if it cannot be read, has
/// none, or a name is not UTF-8.
std::vector<std::string> class_folders(const std::filesystem::path& folder);

/// Paths of the files in `folder`, not below it, that end in .jpg, .jpeg or .png, in either case, in the order of their
/// bytes. Throws IoError if it cannot be read.
std::vector<std::string> images_in(const std::filesystem::path& folder);

/// Classes are the sub-folders of `folder`, labels their places in the order of their names' bytes. Samples are the
/// files below them ending in .jpg, .jpeg or .png, in either case: class after class, folders and then names within
/// them in the order of their bytes; links are followed. Images are read when they are asked for, turned upright as
/// their EXIF blocks say (torchvision's loader does not), and may differ in size: the dataset's shape is open. With
/// class_names given (those of the training part), a class may lack images, and a sub-folder beyond them is an error.
/// Throws IoError if there is no class, a class has no image where none are given, a folder is nested deeper than 64,
/// or a file is an image of another kind (.bmp, .gif, .tif, .webp ...), which would otherwise be left out in silence.
std::shared_ptr<const Dataset> open_image_folder(const std::filesystem::path& folder, std::string name,
                                                 ImageFolderOptions options = {});

}  // namespace limbeck::data
