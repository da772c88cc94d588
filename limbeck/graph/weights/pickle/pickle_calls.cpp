#include "limbeck/graph/weights/pickle/pickle_calls.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "limbeck/core/error.h"
#include "limbeck/core/utf8.h"
#include "limbeck/graph/weights/pickle/pickle.h"
#include "limbeck/graph/weights/pickle/pickle_text.h"

namespace limbeck::weights {
namespace {

using Items = std::vector<PicklePtr>;

/// Arguments of one call, read by position with a message that names the callable.
class Arguments {
 public:
  Arguments(std::string_view where, std::string callable, const Items& items)
      : where_(where), callable_(std::move(callable)), items_(items) {}

  std::size_t size() const { return items_.size(); }
  std::string_view where() const { return where_; }

  void expect_count(std::size_t least, std::size_t most) const {
    if (items_.size() >= least && items_.size() <= most) return;
    fail<IoError>("[pickle] {}: {} takes {} to {} arguments, the file gives {}", where_, callable_, least, most,
                  items_.size());
  }

  template <class T>
  const T& get(std::size_t i, const char* what) const {
    if (i < items_.size()) {
      if (const T* value = items_[i]->get_if<T>()) return *value;
    }
    reject(i, what);
  }

  const std::string& text(std::size_t i, const char* what) const {
    const std::string* value = i < items_.size() ? text_of(*items_[i]) : nullptr;
    if (value == nullptr) reject(i, what);
    return *value;
  }

  /// A legacy storage key may be an int where Python 2 wrote it.
  std::string key(std::size_t i) const {
    if (i < items_.size()) {
      if (const auto* number = items_[i]->get_if<std::int64_t>()) return std::to_string(*number);
    }
    return text(i, "a storage key");
  }

  std::int64_t length(std::size_t i, const char* what) const {
    const std::int64_t value = get<std::int64_t>(i, what);
    if (value < 0) reject(i, what);
    return value;
  }

  std::vector<std::int64_t> lengths(std::size_t i, const char* what) const {
    const auto& tuple = get<PickleTuple>(i, what);
    if (tuple.items.size() > kMaxTensorDims) reject(i, what);
    std::vector<std::int64_t> out;
    out.reserve(tuple.items.size());
    for (const PicklePtr item : tuple.items) {
      const auto* value = item->get_if<std::int64_t>();
      if (value == nullptr || *value < 0) reject(i, what);
      out.push_back(*value);
    }
    return out;
  }

  /// False where the argument is absent or None: old files write 0 and 1.
  bool flag(std::size_t i) const {
    if (i >= items_.size()) return false;
    if (const auto* value = items_[i]->get_if<bool>()) return *value;
    if (const auto* value = items_[i]->get_if<std::int64_t>()) return *value != 0;
    return false;
  }

  PicklePtr at(std::size_t i) const { return i < items_.size() ? items_[i] : nullptr; }

  [[noreturn]] void reject(std::size_t i, const char* what) const {
    fail<IoError>("[pickle] {}: argument {} of {} must be {}, got {}", where_, i, callable_, what,
                  i < items_.size() ? describe(*items_[i]) : "nothing");
  }

 private:
  std::string_view where_;
  std::string callable_;
  const Items& items_;
};

PickleValue make_inert(PicklePtr callable, PicklePtr args) { return {PickleObject{callable, args, nullptr, {}, {}}}; }

/// The conj and neg bits that complex tensors carry: {'conj': True}.
void read_tensor_metadata(PicklePtr metadata, const Arguments& args, std::size_t position, TensorRef& tensor) {
  if (metadata == nullptr || metadata->is<PickleNone>()) return;
  const auto& dict = args.get<PickleDict>(position, "None or a dict");
  for (const auto& [key, value] : dict.entries) {
    const std::string* name = text_of(*key);
    const auto* set = value->get_if<bool>();
    const bool known = name != nullptr && set != nullptr && (*name == "conj" || *name == "neg");
    if (!known) args.reject(position, "a dict with the keys 'conj' and 'neg' alone");
    (*name == "conj" ? tensor.conjugate : tensor.negative) = *set;
  }
}

/// Arguments 0 to 3 of every rebuild function: storage, offset, sizes, strides.
TensorRef rebuild_strided(const Arguments& args) {
  TensorRef tensor;
  tensor.storage = &args.get<StorageRef>(0, "a storage");
  tensor.offset = args.length(1, "an offset of at least 0");
  tensor.sizes = args.lengths(2, "a tuple of sizes");
  tensor.strides = args.lengths(3, "a tuple of strides");
  if (tensor.sizes.size() != tensor.strides.size()) args.reject(3, "as long as the sizes");
  return tensor;
}

PickleValue rebuild_tensor(const Arguments& args) {
  args.expect_count(4, 4);
  return {rebuild_strided(args)};
}

PickleValue rebuild_tensor_v2(const Arguments& args) {
  args.expect_count(5, 7);
  TensorRef tensor = rebuild_strided(args);
  tensor.requires_grad = args.flag(4);
  read_tensor_metadata(args.at(6), args, 6, tensor);
  return {std::move(tensor)};
}

PickleValue rebuild_tensor_v3(const Arguments& args) {
  args.expect_count(7, 8);
  TensorRef tensor = rebuild_strided(args);
  tensor.requires_grad = args.flag(4);
  const auto& dtype = args.get<PickleGlobal>(6, "a dtype");
  if (dtype.module != "torch") args.reject(6, "a torch dtype");
  tensor.dtype = dtype.name;
  read_tensor_metadata(args.at(7), args, 7, tensor);
  return {std::move(tensor)};
}

PickleValue rebuild_parameter(const Arguments& args) {
  args.expect_count(3, 4);
  TensorRef tensor = args.get<TensorRef>(0, "a tensor");
  tensor.is_parameter = true;
  tensor.requires_grad = args.flag(1);
  return {std::move(tensor)};
}

/// OrderedDict(), or OrderedDict([[key, value], ...]) as Python 2 wrote it.
PickleValue make_ordered_dict(const Arguments& args) {
  args.expect_count(0, 1);
  PickleDict dict;
  if (args.size() == 0) return {std::move(dict)};
  for (const PicklePtr item : args.get<PickleList>(0, "a list of pairs").items) {
    const Items* pair = nullptr;
    if (const auto* list = item->get_if<PickleList>()) pair = &list->items;
    if (const auto* tuple = item->get_if<PickleTuple>()) pair = &tuple->items;
    if (pair == nullptr || pair->size() != 2) args.reject(0, "a list of pairs");
    dict.entries.emplace_back((*pair)[0], (*pair)[1]);
  }
  return {std::move(dict)};
}

/// set([...]), as protocols 0 to 3 write sets.
PickleValue make_set(const Arguments& args) {
  args.expect_count(1, 1);
  return {PickleSet{args.get<PickleList>(0, "a list").items}};
}

PickleValue make_size(const Arguments& args) {
  args.expect_count(1, 1);
  const auto& sizes = args.get<PickleTuple>(0, "a tuple");
  if (sizes.items.size() > kMaxTensorDims) args.reject(0, "a tuple of sizes");
  return {sizes};
}

/// _codecs.encode(text, 'latin1'): how protocol 2 writes bytes.
PickleValue encode_bytes(const Arguments& args) {
  args.expect_count(1, 2);
  const std::string& text = args.get<PickleString>(0, "a string").text;
  if (args.size() == 2 && args.text(1, "a codec") != "latin1") args.reject(1, "'latin1'");
  std::optional<std::string> bytes = encode_latin1(text);
  if (!bytes) args.reject(0, "text of the first 256 characters");
  return {PickleBytes{*std::move(bytes)}};
}

PickleValue rebuild_from_type(const Arguments& args);

struct Call {
  std::string_view module;
  std::string_view name;
  PickleValue (*interpret)(const Arguments&);
  bool makes_tensor;
};

constexpr std::array kCalls = {
    Call{"collections", "OrderedDict", make_ordered_dict, false},
    Call{"builtins", "set", make_set, false},
    Call{"builtins", "frozenset", make_set, false},
    Call{"__builtin__", "set", make_set, false},
    Call{"__builtin__", "frozenset", make_set, false},
    Call{"torch", "Size", make_size, false},
    Call{"_codecs", "encode", encode_bytes, false},
    Call{"torch._utils", "_rebuild_tensor", rebuild_tensor, true},
    Call{"torch._utils", "_rebuild_tensor_v2", rebuild_tensor_v2, true},
    Call{"torch._utils", "_rebuild_tensor_v3", rebuild_tensor_v3, true},
    Call{"torch._utils", "_rebuild_parameter", rebuild_parameter, true},
    Call{"torch._utils", "_rebuild_parameter_with_state", rebuild_parameter, true},
    Call{"torch._tensor", "_rebuild_from_type_v2", rebuild_from_type, false},
};

const Call* find_call(const PickleGlobal& global) {
  const auto* it = std::find_if(kCalls.begin(), kCalls.end(), [&](const Call& call) {
    return call.module == global.module && call.name == global.name;
  });
  return it == kCalls.end() ? nullptr : it;
}

/// (rebuild function, type, its arguments, attributes): a tensor with Python attributes, or of a subclass. The
/// attributes are dropped. A subclass whose rebuild function is not listed becomes an inert object of that class.
PickleValue rebuild_from_type(const Arguments& args) {
  args.expect_count(4, 4);
  const auto& function = args.get<PickleGlobal>(0, "a function");
  const auto& inner = args.get<PickleTuple>(2, "a tuple of arguments");
  const Call* call = find_call(function);
  if (call == nullptr || !call->makes_tensor) return make_inert(args.at(1), args.at(2));
  return call->interpret(Arguments(args.where(), function.qualified(), inner.items));
}

PickleValue read_storage(const Arguments& id) {
  id.expect_count(5, 6);
  StorageRef storage;
  storage.type = id.get<PickleGlobal>(1, "a storage type").name;
  storage.key = id.key(2);
  if (storage.key.size() > kMaxStorageKey) id.reject(2, "a short storage key");
  id.text(3, "a location");
  storage.numel = id.length(4, "a number of elements");
  if (id.size() == 5 || id.at(5)->is<PickleNone>()) return {std::move(storage)};
  const auto& view = id.get<PickleTuple>(5, "None or a view");
  const Arguments parts(id.where(), "a view", view.items);
  parts.expect_count(3, 3);
  storage.is_view = true;
  storage.view_offset = parts.length(1, "an offset of at least 0");
  storage.view_numel = parts.length(2, "a number of elements");
  return {std::move(storage)};
}

}  // namespace

PickleValue interpret_call(PicklePtr callable, PicklePtr args, std::string_view where) {
  const auto* global = callable->get_if<PickleGlobal>();
  const auto* items = args->get_if<PickleTuple>();
  const Call* call = global == nullptr || items == nullptr ? nullptr : find_call(*global);
  if (call == nullptr) return make_inert(callable, args);
  return call->interpret(Arguments(where, global->qualified(), items->items));
}

PickleValue interpret_persistent_id(PicklePtr id, std::string_view where) {
  const auto* tuple = id->get_if<PickleTuple>();
  if (tuple == nullptr) {
    fail<IoError>("[pickle] {}: a persistent id must be a tuple, got {}", where, describe(*id));
  }
  const Arguments parts(where, "a persistent id", tuple->items);
  const std::string& kind = parts.text(0, "'storage' or 'module'");
  if (kind == "storage") return read_storage(parts);
  // Legacy files of whole modules name the class and carry its source, which is of no use here.
  if (kind == "module") return {parts.get<PickleGlobal>(1, "a class")};
  fail<IoError>("[pickle] {}: persistent id of unknown kind '{}'", where, core::printable(kind));
}

}  // namespace limbeck::weights
