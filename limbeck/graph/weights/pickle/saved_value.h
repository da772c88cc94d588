// Plain Python data to be written by torch.save's format: what a checkpoint holds beside tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace limbeck::weights {

struct SavedValue;

struct SavedNone {};

struct SavedList {
  std::vector<SavedValue> items;
};

struct SavedTuple {
  std::vector<SavedValue> items;
};

/// A dict; keys are texts or integers. Entries keep their order.
struct SavedDict {
  std::vector<SavedValue> keys, values;

  void set(SavedValue key, SavedValue value);
};

struct SavedValue {
  std::variant<SavedNone, bool, std::int64_t, double, std::string, at::Tensor, SavedList, SavedTuple, SavedDict> data;
};

inline void SavedDict::set(SavedValue key, SavedValue value) {
  keys.push_back(std::move(key));
  values.push_back(std::move(value));
}

}  // namespace limbeck::weights
