// How torch.save names element types: typed storages for the old ones, a dtype beside an UntypedStorage for the rest.
#pragma once

#include <c10/core/ScalarType.h>

#include <optional>
#include <string_view>

namespace limbeck::weights {

/// "FloatStorage" -> Float; nothing for UntypedStorage, quantized and unknown storages.
std::optional<c10::ScalarType> dtype_of_storage(std::string_view storage_type);

/// Attribute of the torch module to dtype: "uint16" -> UInt16; nothing for what is not known.
std::optional<c10::ScalarType> dtype_of_name(std::string_view name);

/// Float -> "FloatStorage"; empty where torch writes an UntypedStorage.
std::string_view storage_of_dtype(c10::ScalarType dtype);

/// Float -> "float32"; empty for what torch.save does not write as plain data (quantized types).
std::string_view name_of_dtype(c10::ScalarType dtype);

}  // namespace limbeck::weights
