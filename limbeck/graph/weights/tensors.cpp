#include "limbeck/graph/weights/tensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"

namespace limbeck::weights {
namespace {

using core::DType;

constexpr std::pair<DType, at::ScalarType> kTypes[] = {
    {DType::f64, at::kDouble},
    {DType::f32, at::kFloat},
    {DType::f16, at::kHalf},
    {DType::bf16, at::kBFloat16},
    {DType::i64, at::kLong},
    {DType::i32, at::kInt},
    {DType::i16, at::kShort},
    {DType::i8, at::kChar},
    {DType::u8, at::kByte},
    {DType::boolean, at::kBool},
    {DType::u16, at::ScalarType::UInt16},
    {DType::u32, at::ScalarType::UInt32},
    {DType::u64, at::ScalarType::UInt64},
    {DType::f8_e4m3, at::ScalarType::Float8_e4m3fn},
    {DType::f8_e5m2, at::ScalarType::Float8_e5m2},
    {DType::c64, at::kComplexFloat},
};

/// Half-open range of memory that a tensor touches, on its device.
struct Range {
  at::Device device;
  const std::byte* begin;
  const std::byte* end;

  bool starts_before(const Range& other) const {
    const auto key = [](const Range& range) {
      return std::tuple(static_cast<int>(range.device.type()), range.device.index(), range.begin);
    };
    return key(*this) < key(other);
  }
  bool is_beyond(const Range& other) const { return device != other.device || begin >= other.end; }
};

Range memory_of(const at::Tensor& tensor) {
  const auto* begin = static_cast<const std::byte*>(tensor.const_data_ptr());
  if (tensor.numel() == 0) return {tensor.device(), begin, begin};
  std::int64_t last = 0;
  for (std::int64_t i = 0; i < tensor.dim(); ++i) last += (tensor.size(i) - 1) * tensor.stride(i);
  return {tensor.device(), begin, begin + (last + 1) * static_cast<std::int64_t>(tensor.element_size())};
}

/// Names that share one view point to the first of them; tensors that overlap otherwise are refused. Empty tensors
/// share nothing.
std::vector<std::size_t> owners_of(std::span<const NamedTensor> tensors) {
  std::vector<std::size_t> owner(tensors.size());
  std::vector<std::pair<Range, std::size_t>> ranges;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    owner[i] = i;
    const at::Tensor& tensor = tensors[i].tensor;
    if (tensor.numel() > 0) ranges.emplace_back(memory_of(tensor), i);
  }
  std::stable_sort(ranges.begin(), ranges.end(),
                   [](const auto& a, const auto& b) { return a.first.starts_before(b.first); });
  // The range that reaches farthest so far is the one that a later range could overlap.
  for (std::size_t i = 1, farthest = 0; i < ranges.size(); ++i) {
    const auto& [range, index] = ranges[i];
    const std::size_t other = ranges[farthest].second;
    if (range.is_beyond(ranges[farthest].first)) {
      farthest = i;
    } else if (is_same_view(tensors[index].tensor, tensors[other].tensor)) {
      owner[index] = owner[other];
    } else {
      fail<InvalidArgument>(
          "[weights] tensors '{}' and '{}' overlap in memory without being the same. Clone one of them",
          tensors[other].name, tensors[index].name);
    }
  }
  return owner;
}

void add_alias(std::vector<NamedTensor>& tensors, const std::map<std::string, std::size_t, std::less<>>& index,
               const std::string& alias, const std::string& name, const std::string& where) {
  const auto found = index.find(name);
  if (found == index.end() || index.contains(alias)) {
    fail<IoError>("[safetensors] {}: alias '{}' of '{}' names no tensor, or one that is there itself", where, alias,
                  name);
  }
  tensors.push_back({alias, tensors[found->second].tensor});
}

}  // namespace

bool is_same_view(const at::Tensor& a, const at::Tensor& b) {
  return a.const_data_ptr() == b.const_data_ptr() && a.device() == b.device() && a.scalar_type() == b.scalar_type() &&
         a.sizes() == b.sizes() && a.strides() == b.strides() && a.is_conj() == b.is_conj() && a.is_neg() == b.is_neg();
}

at::ScalarType scalar_type_of(DType dtype) {
  for (const auto& [stored, type] : kTypes) {
    if (stored == dtype) return type;
  }
  fail<InternalError>("[weights] no element type for {}", core::dtype_name(dtype));
}

DType dtype_of(at::ScalarType type, std::string_view name) {
  for (const auto& [stored, scalar] : kTypes) {
    if (scalar == type) return stored;
  }
  fail<Unsupported>("[weights] tensor '{}' has element type {}, which safetensors has not. Convert it", name,
                    c10::toString(type));
}

at::Tensor tensor_of(const core::StoredTensor& stored, const std::shared_ptr<core::MappedFile>& mapping) {
  const at::Storage storage = storage_over({stored.bytes, mapping}, core::dtype_bytes(stored.dtype));
  std::vector<std::int64_t> strides(stored.shape.size());
  std::int64_t step = 1;
  for (std::size_t i = stored.shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= std::max<std::int64_t>(stored.shape[i], 1);
  }
  const StridedView view{scalar_type_of(stored.dtype), 0, stored.shape, strides};
  return tensor_in(storage, view, "[safetensors] '" + stored.name + "'");
}

std::vector<NamedTensor> read_tensors(const core::SafetensorsFile& file) {
  const std::string where = file.mapping()->path().string();
  std::vector<NamedTensor> tensors;
  std::map<std::string, std::size_t, std::less<>> index;
  for (const core::StoredTensor& stored : file.tensors()) {
    index.emplace(stored.name, tensors.size());
    tensors.push_back({stored.name, tensor_of(stored, file.mapping())});
  }
  for (const auto& [key, value] : file.metadata()) {
    // Python's save_model names each dropped tensor by a key of its own.
    if (!index.contains(key) && index.contains(value)) add_alias(tensors, index, key, value, where);
  }
  const auto aliases = file.metadata().find(kAliasesKey);
  if (aliases == file.metadata().end()) return tensors;
  const core::Json object = core::parse_json(aliases->second, where + " aliases");
  for (const auto& [alias, name] : object.as_object()) add_alias(tensors, index, alias, name.as_string(), where);
  return tensors;
}

TensorsToWrite prepare_tensors(std::span<const NamedTensor> tensors) {
  const std::vector<std::size_t> owner = owners_of(tensors);
  TensorsToWrite out;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    if (owner[i] != i) {
      out.aliases.emplace_back(name, tensors[owner[i]].name);
      continue;
    }
    const DType dtype = dtype_of(tensor.scalar_type(), name);
    const at::Tensor dense = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous();
    const std::span bytes(static_cast<const std::byte*>(dense.const_data_ptr()), dense.nbytes());
    out.tensors.push_back({name, dtype, dense.sizes().vec(), bytes});
    out.kept.push_back(dense);
  }
  return out;
}

void write_tensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors, core::Metadata metadata) {
  LIMBECK_CHECK(!metadata.contains(kAliasesKey), "[weights] the metadata key '{}' is reserved", kAliasesKey);
  const TensorsToWrite prepared = prepare_tensors(tensors);
  if (!prepared.aliases.empty()) {
    core::JsonObject aliases;
    for (const auto& [alias, name] : prepared.aliases) aliases.insert(alias, name);
    metadata.emplace(kAliasesKey, core::Json(std::move(aliases)).dump());
  }
  core::write_safetensors(path, prepared.tensors, metadata);
}

}  // namespace limbeck::weights
