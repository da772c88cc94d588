// What a pickle may become here: plain data, references to storages and tensors, and inert objects. Nothing is ever
// called while reading, so an object of a class that is not known (an argparse.Namespace in a checkpoint, a whole
// nn.Module) is only its class's name, its arguments and its state. No libtorch: tensors are described, not made.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace limbeck::weights {

struct PickleValue;
/// Values are owned by their PickleDocument. Equal pointers are one Python object (tied tensors, shared lists), and a
/// hostile or recursive pickle may contain itself: whoever walks values limits the depth.
using PicklePtr = const PickleValue*;

struct PickleNone {};

/// An integer outside int64: its two's complement bytes, least significant first, as in the file.
struct PickleBigInt {
  std::string bytes;
};

/// Python bytes or bytearray (and protocol 0 and 1 strings of Python 2, which have no encoding, stay PickleString).
struct PickleBytes {
  std::string bytes;
};

struct PickleString {
  std::string text;
};

struct PickleTuple {
  std::vector<PicklePtr> items;
};

struct PickleList {
  std::vector<PicklePtr> items;
};

struct PickleSet {
  std::vector<PicklePtr> items;
};

/// dict or collections.OrderedDict. Entries stand in the order in which they were set, repeated keys included: the
/// last one wins, as in Python; `find_string` honours that.
struct PickleDict {
  std::vector<std::pair<PicklePtr, PicklePtr>> entries;
  PicklePtr state = nullptr;  ///< Attributes of an OrderedDict (`_metadata` of a state dict), or null.
};

/// A class or function by name: `torch.float32` is {"torch", "float32"}.
struct PickleGlobal {
  std::string module;
  std::string name;
  std::string qualified() const { return module + "." + name; }
};

/// The inert remains of `callable(*args)` with whatever was set on the result. Never called.
struct PickleObject {
  PicklePtr callable = nullptr;
  PicklePtr args = nullptr;
  PicklePtr state = nullptr;  ///< Argument of __setstate__, usually the attribute dict; or null.
  std::vector<PicklePtr> items;
  std::vector<std::pair<PicklePtr, PicklePtr>> entries;
};

/// A storage outside the pickle: ('storage', type, key, location, numel), with the view of legacy files. The location
/// (the device it was saved from) is dropped: everything is read to the CPU.
struct StorageRef {
  std::string type;        ///< Last part of the class's name: "FloatStorage", "UntypedStorage".
  std::string key;         ///< Names the bytes in the archive.
  std::int64_t numel = 0;  ///< Elements (bytes for UntypedStorage).
  bool is_view = false;
  std::int64_t view_offset = 0;  ///< Elements, of a view into the storage `key`.
  std::int64_t view_numel = 0;
};

/// A strided tensor over a storage: torch._utils._rebuild_tensor, _v2, _v3, and parameters made of them.
struct TensorRef {
  const StorageRef* storage = nullptr;
  std::int64_t offset = 0;  ///< Elements.
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  std::string dtype;  ///< Name such as "uint16" where the storage is untyped; else empty and the storage says it.
  bool requires_grad = false;
  bool is_parameter = false;
  bool conjugate = false;
  bool negative = false;
};

struct PickleValue {
  std::variant<PickleNone, bool, std::int64_t, double, PickleBigInt, PickleString, PickleBytes, PickleTuple, PickleList,
               PickleSet, PickleDict, PickleGlobal, PickleObject, StorageRef, TensorRef>
      data;

  template <class T>
  const T* get_if() const {
    return std::get_if<T>(&data);
  }
  template <class T>
  bool is() const {
    return std::holds_alternative<T>(data);
  }
};

/// A read pickle: owns its values. Movable; pointers into it stay valid.
struct PickleDocument {
  std::deque<PickleValue> values;
  PicklePtr root = nullptr;
};

/// The text of a string, or of ASCII bytes (Python 2 wrote keys as either); null for anything else.
const std::string* text_of(const PickleValue& value);

/// The value of the last entry with the string key `key`; null where there is none.
PicklePtr find_string(const PickleDict& dict, std::string_view key);

/// The class of an inert object, as "module.name": what NEWOBJ, REDUCE or copyreg._reconstructor would have built.
/// Empty where it cannot be told.
std::string class_of(const PickleObject& object);

/// What a value is, for messages: "a dict with 3 entries", "an object of class argparse.Namespace".
std::string describe(const PickleValue& value);

}  // namespace limbeck::weights
