// Folders whose images all have one size: no transform need make it.
#pragma once

#include <memory>
#include <string>

#include "limbeck/data/dataset.h"
#include "limbeck/data/loader.h"

namespace limbeck::data {

/// What the headers of a folder's images say of their size.
struct OneSize {
  std::shared_ptr<const Dataset> dataset;  // the given one with the size that all images have; null where they differ
  std::string first{}, other{};            // then two of different sizes: "cat/7.png of 64 x 48 pixels"
};

/// Reads the header of every file of a dataset whose shape is open, or its samples where it has no files. Those that
/// cannot be read are passed over with OnError::skip, else throw IoError. A dataset with a shape is given back as it
/// is.
OneSize find_one_size(std::shared_ptr<const Dataset> dataset, OnError on_error);

}  // namespace limbeck::data
