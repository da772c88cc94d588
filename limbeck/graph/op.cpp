#include "limbeck/graph/op.h"

#include <ATen/core/function_schema.h>

#include <memory>
#include <mutex>
#include <unordered_map>

#include "limbeck/core/error.h"
#include "limbeck/graph/dispatcher_entry.h"
#include "limbeck/graph/ops/own_ops.h"

namespace limbeck::graph {

namespace {

class OpTable {
 public:
  const OpInfo* find(std::string_view name) {
    const std::lock_guard lock(mutex_);
    const auto known = rows_.find(std::string(name));
    if (known != rows_.end()) return known->second.get();
    OpInfo row{.name = std::string(name)};
    bool is_random = false, is_data_dependent = false;
    if (const OwnOp* own = find_own_op(name)) {
      row.schema = own->schema;
      row.kernel = own->kernel;
    } else {
      const DispatcherEntry entry = find_dispatcher_entry(name);
      if (entry.handle == nullptr) return nullptr;
      row.schema = entry.schema;
      row.dispatcher_entry = entry.handle;
      is_random = entry.is_random;
      is_data_dependent = entry.is_data_dependent;
    }
    row.traits = traits_of(name);
    row.traits.is_random |= is_random;
    row.traits.is_data_dependent |= is_data_dependent;
    return rows_.emplace(std::string(name), std::make_unique<const OpInfo>(std::move(row))).first->second.get();
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<const OpInfo>> rows_;
};

}  // namespace

std::optional<std::size_t> OpInfo::find_slot(std::string_view argument) const {
  const auto& arguments = schema->arguments();
  for (std::size_t slot = 0; slot < arguments.size(); ++slot) {
    if (arguments[slot].name() == argument) return slot;
  }
  return std::nullopt;
}

std::size_t OpInfo::slot(std::string_view argument) const {
  const std::optional<std::size_t> found = find_slot(argument);
  LIMBECK_ASSERT(found.has_value(), "[graph] {} has no argument '{}'", name, argument);
  return *found;
}

const OpInfo* find_op(std::string_view name) {
  static OpTable* const table = new OpTable;  // rows outlive static destruction
  return table->find(name);
}

const OpInfo& op_info(std::string_view name) {
  if (const OpInfo* found = find_op(name)) return *found;
  fail<Unsupported>("[graph] neither this libtorch nor Limbeck has an op '{}'.{}", name,
                    nearest_hint(name, dispatcher_op_names()));
}

}  // namespace limbeck::graph
