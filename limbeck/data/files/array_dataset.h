// Datasets of arrays: .npy files and safetensors, in the layouts and types that users have them in.
#pragma once

#include "limbeck/data/dataset.h"

#include <filesystem>
#include <optional>
#include <string_view>

namespace limbeck::data {

/// Order of the axes of images. `automatic`: [N, H, W], or by which of axis 1 and axis 3 has 1 to 4 entries.
enum class ArrayLayout { automatic, nchw, nhwc };

/// "nchw" or "nhwc". Throws InvalidArgument for another name.
ArrayLayout parse_array_layout(std::string_view text);

enum class ArrayPart { train, test };

/// Images as bytes or floats [N, C, H, W], contiguous. Integers in 0..255 become bytes; floating-point values become
/// float32 as they are, so scale them yourself. Throws InvalidArgument, naming `name`, for other shapes, values and
/// types, and if the layout cannot be told.
at::Tensor to_images(const at::Tensor& array, const std::string& name, ArrayLayout layout = ArrayLayout::automatic);

/// Labels as int64 [N] from integers [N] or [N, 1]. Throws InvalidArgument, naming `name`, for anything else and for
/// negative ones.
at::Tensor to_labels(const at::Tensor& array, const std::string& name);

/// Of a folder with {train,test}_images.npy and {train,test}_labels.npy, or x_{train,test}.npy and y_{train,test}.npy.
/// Class names stand in class_names.txt, one a line; without it they are "0" to the largest label of the train part.
/// Throws IoError if a file is missing or damaged, or images and labels do not belong together.
std::shared_ptr<const Dataset> open_npy_folder(const std::filesystem::path& folder, ArrayPart part, std::string name,
                                               ArrayLayout layout = ArrayLayout::automatic);

/// Of one safetensors file with tensors {train,test}_images and {train,test}_labels. Class names stand in the metadata
/// under class_names, as a JSON array; without it they are "0" to the largest label of the train part. Errors as above.
std::shared_ptr<const Dataset> open_safetensors_arrays(const std::filesystem::path& file, ArrayPart part,
                                                       std::string name, ArrayLayout layout = ArrayLayout::automatic);

}  // namespace limbeck::data
