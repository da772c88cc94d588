#include "limbeck/graph/weights/pth_writer.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>

#include <exception>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/overloaded.h"
#include "limbeck/graph/weights/pickle/pickle.h"
#include "limbeck/graph/weights/pickle/pickle_writer.h"
#include "limbeck/graph/weights/pickle/storage_dtype.h"

namespace limbeck::weights {
namespace {

/// One storage of the file: `holder` keeps it, its name is its position.
struct StoredBytes {
  at::Tensor holder;
  at::ScalarType dtype;
};

struct Plan {
  std::vector<at::Tensor> tensors;      ///< On the CPU, as written.
  std::vector<std::size_t> storage_of;  ///< For each tensor its place in `storages`.
  std::vector<StoredBytes> storages;
};

void check_writable(const NamedTensor& entry, std::unordered_set<std::string_view>& names) {
  const auto& [name, tensor] = entry;
  LIMBECK_CHECK(names.insert(name).second, "[pth] two tensors are named '{}'", name);
  LIMBECK_CHECK(name.size() < kMaxPickleBytes, "[pth] a name of {} characters", name.size());
  if (tensor.layout() != at::kStrided || name_of_dtype(tensor.scalar_type()).empty()) {
    fail<Unsupported>("[pth] tensor '{}' ({}) is no plain strided data. Convert it before saving", name,
                      tensor.toString());
  }
}

using UseCounts = std::unordered_map<const c10::StorageImpl*, int>;

const c10::StorageImpl* storage_of(const at::Tensor& tensor) { return tensor.storage().unsafeGetStorageImpl(); }

/// A storage's bytes on the CPU, copied at most once however many tensors look at it.
class CpuStorages {
 public:
  at::Storage of(const at::Tensor& tensor) {
    if (tensor.is_cpu()) return tensor.storage();
    const auto [place, fresh] = moved_.try_emplace(storage_of(tensor));
    if (fresh) place->second = at::empty({0}, tensor.options().dtype(at::kByte)).set_(tensor.storage()).cpu().storage();
    return place->second;
  }

 private:
  std::unordered_map<const c10::StorageImpl*, at::Storage> moved_;
};

/// What is written for a tensor: a view of its whole storage if that is shared or all used, else a copy of what it
/// uses.
at::Tensor as_written(const at::Tensor& tensor, const UseCounts& uses, CpuStorages& storages) {
  if (tensor.is_conj() || tensor.is_neg()) return tensor.detach().cpu().resolve_conj().resolve_neg().clone();
  const bool is_shared = uses.at(storage_of(tensor)) > 1;
  const bool is_whole = tensor.storage().nbytes() == static_cast<std::size_t>(tensor.numel()) * tensor.element_size();
  if (!is_shared && !is_whole) return tensor.detach().cpu().contiguous().clone();
  if (tensor.is_cpu()) return tensor.detach();
  return at::empty({0}, tensor.scalar_type())
      .set_(storages.of(tensor), tensor.storage_offset(), tensor.sizes(), tensor.strides());
}

Plan plan_storages(std::span<const NamedTensor> tensors) {
  std::unordered_set<std::string_view> names;
  UseCounts uses;
  for (const NamedTensor& entry : tensors) {
    check_writable(entry, names);
    ++uses[storage_of(entry.tensor)];
  }
  Plan plan;
  CpuStorages moved;
  std::unordered_map<const c10::StorageImpl*, std::size_t> places;
  for (const NamedTensor& entry : tensors) {
    at::Tensor tensor = as_written(entry.tensor, uses, moved);
    const auto [place, fresh] = places.emplace(storage_of(tensor), plan.storages.size());
    if (fresh) plan.storages.push_back({tensor, tensor.scalar_type()});
    if (plan.storages[place->second].dtype != tensor.scalar_type()) {
      fail<Unsupported>("[pth] tensor '{}' shares its storage with one of another element type. Clone it", entry.name);
    }
    plan.storage_of.push_back(place->second);
    plan.tensors.push_back(std::move(tensor));
  }
  return plan;
}

/// ('storage', type, key, 'cpu', number of elements), which torch.load resolves to the storage.
void write_storage_id(PickleWriter& pickle, const StoredBytes& stored, std::size_t key) {
  const std::string_view type = storage_of_dtype(stored.dtype);
  const std::size_t nbytes = stored.holder.storage().nbytes();
  pickle.mark();
  pickle.text("storage");
  if (type.empty()) {
    pickle.global("torch.storage", "UntypedStorage");
  } else {
    pickle.global("torch", type);
  }
  pickle.text(std::to_string(key));
  pickle.text("cpu");
  pickle.integer(static_cast<std::int64_t>(type.empty() ? nbytes : nbytes / c10::elementSize(stored.dtype)));
  pickle.tuple();
  pickle.persistent_id();
}

/// _rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad, hooks), or _v3 with the dtype at the end.
void write_tensor(PickleWriter& pickle, const at::Tensor& tensor, const StoredBytes& stored, std::size_t key) {
  const bool untyped = storage_of_dtype(stored.dtype).empty();
  pickle.global("torch._utils", untyped ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
  pickle.mark();
  write_storage_id(pickle, stored, key);
  pickle.integer(tensor.storage_offset());
  pickle.integers({tensor.sizes().data(), tensor.sizes().size()});
  pickle.integers({tensor.strides().data(), tensor.strides().size()});
  pickle.boolean(false);
  pickle.empty_ordered_dict();
  if (untyped) pickle.global("torch", name_of_dtype(stored.dtype));
  pickle.tuple();
  pickle.reduce();
}

std::string write_state_dict(std::span<const NamedTensor> tensors, const Plan& plan) {
  PickleWriter pickle;
  pickle.empty_ordered_dict();
  pickle.mark();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::size_t key = plan.storage_of[i];
    pickle.text(tensors[i].name);
    write_tensor(pickle, plan.tensors[i], plan.storages[key], key);
  }
  pickle.set_items();
  return pickle.finish();
}

/// The tensors of a value, each under its path, in the order in which ValuePickler meets them.
void collect_tensors(const SavedValue& value, const std::string& path, std::vector<NamedTensor>& tensors) {
  const auto collect_items = [&](const auto& list) {
    for (std::size_t i = 0; i < list.items.size(); ++i)
      collect_tensors(list.items[i], path + "." + std::to_string(i), tensors);
  };
  std::visit(core::Overloaded{[&](const at::Tensor& tensor) {
                                LIMBECK_CHECK(tensor.defined(), "[pth] the tensor at '{}' is undefined", path);
                                tensors.push_back({path, tensor});
                              },
                              [&](const SavedList& list) { collect_items(list); },
                              [&](const SavedTuple& tuple) { collect_items(tuple); },
                              [&](const SavedDict& dict) {
                                for (std::size_t i = 0; i < dict.values.size(); ++i)
                                  collect_tensors(dict.values[i], path + "." + std::to_string(i), tensors);
                              },
                              [](const auto&) {}},
             value.data);
}

/// Writes a value whose tensors were planned in the order of collect_tensors.
class ValuePickler {
 public:
  explicit ValuePickler(const Plan& plan) : plan_(plan) {}

  std::string pickle(const SavedValue& value) {
    write(value);
    return pickle_.finish();
  }

 private:
  void write(const SavedValue& value) {
    std::visit(
        core::Overloaded{
            [&](const SavedNone&) { pickle_.none(); }, [&](bool flag) { pickle_.boolean(flag); },
            [&](std::int64_t number) { pickle_.integer(number); }, [&](double number) { pickle_.real(number); },
            [&](const std::string& text) { pickle_.text(text); }, [&](const at::Tensor&) { write_next_tensor(); },
            [&](const SavedList& list) { write_list(list); }, [&](const SavedTuple& tuple) { write_tuple(tuple); },
            [&](const SavedDict& dict) { write_dict(dict); }},
        value.data);
  }

  void write_next_tensor() {
    const std::size_t place = next_tensor_++, key = plan_.storage_of[place];
    write_tensor(pickle_, plan_.tensors[place], plan_.storages[key], key);
  }

  void write_list(const SavedList& list) {
    pickle_.empty_list();
    pickle_.mark();
    for (const SavedValue& item : list.items) write(item);
    pickle_.append_items();
  }

  void write_tuple(const SavedTuple& tuple) {
    pickle_.mark();
    for (const SavedValue& item : tuple.items) write(item);
    pickle_.tuple();
  }

  void write_dict(const SavedDict& dict) {
    pickle_.empty_dict();
    pickle_.mark();
    for (std::size_t i = 0; i < dict.keys.size(); ++i) {
      write(dict.keys[i]);
      write(dict.values[i]);
    }
    pickle_.set_items();
  }

  const Plan& plan_;
  PickleWriter pickle_;
  std::size_t next_tensor_ = 0;
};

/// libtorch's zip writer calls back from C code and finalises in its destructor: neither may see an exception, so a
/// failure is kept, the rest is swallowed, and check() tells it.
class ArchiveWriter {
 public:
  explicit ArchiveWriter(core::AtomicFile& file)
      : file_(file), zip_([this](const void* data, std::size_t size) { return take(data, size); }) {}

  void record(const std::string& name, const void* data, std::size_t size) {
    zip_.writeRecord(name, data, size);
    check();
  }

  void finish() {
    zip_.writeEndOfFile();
    check();
  }

 private:
  std::size_t take(const void* data, std::size_t size) {
    if (failure_ != nullptr) return size;
    try {
      file_.write(std::span(static_cast<const std::byte*>(data), size));
    } catch (const Error&) {
      failure_ = std::current_exception();
    }
    return size;
  }

  void check() const {
    if (failure_ != nullptr) std::rethrow_exception(failure_);
  }

  core::AtomicFile& file_;
  std::exception_ptr failure_;
  caffe2::serialize::PyTorchStreamWriter zip_;
};

std::uint64_t expected_bytes(const Plan& plan, std::size_t pickle_bytes) {
  std::uint64_t sum = pickle_bytes;
  for (const StoredBytes& stored : plan.storages) sum += stored.holder.storage().nbytes();
  return sum;
}

void write_archive(const std::filesystem::path& path, const Plan& plan, const std::string& pickle) {
  core::AtomicFile file(path, expected_bytes(plan, pickle.size()));
  {
    ArchiveWriter archive(file);
    archive.record("data.pkl", pickle.data(), pickle.size());
    archive.record("byteorder", "little", 6);
    for (std::size_t i = 0; i < plan.storages.size(); ++i) {
      const at::Storage& storage = plan.storages[i].holder.storage();
      archive.record("data/" + std::to_string(i), storage.data(), storage.nbytes());
    }
    archive.finish();
  }
  file.commit();
}

}  // namespace

void write_pth(const std::filesystem::path& path, std::span<const NamedTensor> tensors) {
  const Plan plan = plan_storages(tensors);
  write_archive(path, plan, write_state_dict(tensors, plan));
}

void write_pth(const std::filesystem::path& path, const SavedValue& value) {
  std::vector<NamedTensor> tensors;
  collect_tensors(value, "value", tensors);
  const Plan plan = plan_storages(tensors);
  write_archive(path, plan, ValuePickler(plan).pickle(value));
}

}  // namespace limbeck::weights
