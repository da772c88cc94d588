#include "limbeck/graph/weights/tensor_storage.h"

#include <ATen/ATen.h>

#include <fmt/ranges.h>

#include <cstring>
#include <optional>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"

namespace limbeck::weights {
namespace {

void release(void* owner) { delete static_cast<std::shared_ptr<void>*>(owner); }

at::Storage copied(std::span<const std::byte> bytes) {
  const at::Tensor copy = at::empty({static_cast<std::int64_t>(bytes.size())}, at::kByte);
  if (!bytes.empty()) std::memcpy(copy.mutable_data_ptr(), bytes.data(), bytes.size());
  return copy.storage();
}

/// One past the last element that the view touches, and the number of its elements; nothing if either overflows.
struct Reach {
  std::int64_t end = 0;
  std::int64_t numel = 1;
};

std::optional<Reach> reach_of(const StridedView& view) {
  Reach reach;
  std::int64_t last = view.offset;
  for (std::size_t i = 0; i < view.sizes.size(); ++i) {
    if (view.sizes[i] < 0 || view.strides[i] < 0) return std::nullopt;
    if (__builtin_mul_overflow(reach.numel, view.sizes[i], &reach.numel)) return std::nullopt;
  }
  if (reach.numel == 0) return Reach{view.offset, 0};
  for (std::size_t i = 0; i < view.sizes.size(); ++i) {
    std::int64_t step = 0;
    if (__builtin_mul_overflow(view.sizes[i] - 1, view.strides[i], &step)) return std::nullopt;
    if (__builtin_add_overflow(last, step, &last)) return std::nullopt;
  }
  if (__builtin_add_overflow(last, 1, &reach.end)) return std::nullopt;
  return reach;
}

}  // namespace

SharedBytes map_file(const std::string& path) {
  auto file = core::MappedFile::open(path, core::MappedFile::Access::private_writable);
  const std::span<std::byte> bytes = file->writable_bytes();
  return {bytes, std::move(file)};
}

at::Storage storage_over(const SharedBytes& shared, std::size_t alignment) {
  if (shared.bytes.empty()) return copied({});
  if (reinterpret_cast<std::uintptr_t>(shared.bytes.data()) % alignment != 0) return copied(shared.bytes);
  auto owner = std::make_unique<std::shared_ptr<void>>(shared.owner);
  at::DataPtr data(shared.bytes.data(), owner.release(), &release, at::Device(at::kCPU));
  return at::Storage(at::Storage::use_byte_size_t(), shared.bytes.size(), std::move(data), nullptr, false);
}

at::Tensor tensor_in(const at::Storage& storage, const StridedView& view, std::string_view where) {
  LIMBECK_ASSERT(view.sizes.size() == view.strides.size(), "{}: sizes and strides differ in length", where);
  const auto stored = static_cast<std::int64_t>(storage.nbytes() / c10::elementSize(view.dtype));
  const std::optional<Reach> reach = reach_of(view);
  if (view.offset < 0 || !reach || reach->end > stored) {
    fail<IoError>("{}: a tensor of sizes [{}], strides [{}] and offset {} does not fit its storage of {} elements",
                  where, fmt::join(view.sizes, ", "), fmt::join(view.strides, ", "), view.offset, stored);
  }
  if (reach->numel > stored && reach->numel > kMaxRepeatedElements) {
    fail<IoError>("{}: a tensor repeats {} stored elements to {}, more than the limit of {}", where, stored,
                  reach->numel, kMaxRepeatedElements);
  }
  const at::IntArrayRef sizes(view.sizes.data(), view.sizes.size());
  const at::IntArrayRef strides(view.strides.data(), view.strides.size());
  return at::empty({0}, view.dtype).set_(storage, view.offset, sizes, strides);
}

}  // namespace limbeck::weights
