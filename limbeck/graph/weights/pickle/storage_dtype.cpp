#include "limbeck/graph/weights/pickle/storage_dtype.h"

namespace limbeck::weights {
namespace {

using c10::ScalarType;

struct Row {
  ScalarType dtype;
  std::string_view name;
  std::string_view storage;  ///< Empty: saved as UntypedStorage with the dtype beside it.
};

/// From torch/storage.py: _dtype_to_storage_type_map and _new_dtypes.
constexpr Row kRows[] = {
    {ScalarType::Float, "float32", "FloatStorage"},
    {ScalarType::Double, "float64", "DoubleStorage"},
    {ScalarType::Half, "float16", "HalfStorage"},
    {ScalarType::BFloat16, "bfloat16", "BFloat16Storage"},
    {ScalarType::Long, "int64", "LongStorage"},
    {ScalarType::Int, "int32", "IntStorage"},
    {ScalarType::Short, "int16", "ShortStorage"},
    {ScalarType::Char, "int8", "CharStorage"},
    {ScalarType::Byte, "uint8", "ByteStorage"},
    {ScalarType::Bool, "bool", "BoolStorage"},
    {ScalarType::ComplexFloat, "complex64", "ComplexFloatStorage"},
    {ScalarType::ComplexDouble, "complex128", "ComplexDoubleStorage"},
    {ScalarType::ComplexHalf, "complex32", ""},
    {ScalarType::UInt16, "uint16", ""},
    {ScalarType::UInt32, "uint32", ""},
    {ScalarType::UInt64, "uint64", ""},
    {ScalarType::Float8_e5m2, "float8_e5m2", ""},
    {ScalarType::Float8_e4m3fn, "float8_e4m3fn", ""},
    {ScalarType::Float8_e5m2fnuz, "float8_e5m2fnuz", ""},
    {ScalarType::Float8_e4m3fnuz, "float8_e4m3fnuz", ""},
};

const Row* row_of(ScalarType dtype) {
  for (const Row& row : kRows) {
    if (row.dtype == dtype) return &row;
  }
  return nullptr;
}

}  // namespace

std::optional<ScalarType> dtype_of_storage(std::string_view storage_type) {
  for (const Row& row : kRows) {
    if (!row.storage.empty() && row.storage == storage_type) return row.dtype;
  }
  return std::nullopt;
}

std::optional<ScalarType> dtype_of_name(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

std::string_view storage_of_dtype(ScalarType dtype) {
  const Row* row = row_of(dtype);
  return row == nullptr ? std::string_view() : row->storage;
}

std::string_view name_of_dtype(ScalarType dtype) {
  const Row* row = row_of(dtype);
  return row == nullptr ? std::string_view() : row->name;
}

}  // namespace limbeck::weights
