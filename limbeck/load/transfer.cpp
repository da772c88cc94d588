#include "limbeck/load/transfer.h"

#include <algorithm>

#include "limbeck/graph/weights/state_dict.h"

namespace limbeck {

namespace {

bool is_in_scope(const std::string& name, const std::string& scope) { return name.starts_with(scope + "."); }

/// The entries of the file, whose names may lack a prefix that the model's have, that belong to `scope`.
std::vector<std::string> names_in_scope(const weights::StateDict& file, const std::string& scope) {
  std::vector<std::string> names;
  for (const NamedTensor& entry : file.tensors) {
    if (is_in_scope(entry.name, scope)) names.push_back(entry.name);
  }
  return names;
}

/// Whether the file has all the classifier's tensors with the model's sizes.
bool fits(const weights::StateDict& file, const Model& model, const std::string& scope) {
  const std::vector<NamedTensor> targets = model.state_dict();
  return std::all_of(targets.begin(), targets.end(), [&](const NamedTensor& target) {
    const at::Tensor* given = file.find(target.name);
    return !is_in_scope(target.name, scope) || (given != nullptr && given->sizes() == target.tensor.sizes());
  });
}

void copy_without(weights::StateDict file, const Model& model, const std::string& scope) {
  std::erase_if(file.tensors, [&](const NamedTensor& entry) { return is_in_scope(entry.name, scope); });
  std::vector<NamedTensor> targets = model.state_dict();
  std::erase_if(targets, [&](const NamedTensor& entry) { return is_in_scope(entry.name, scope); });
  weights::copy_into(file, targets);
}

}  // namespace

HeadWeights load_weights_and_replace_head(Model& model, const std::string& path, const std::string& scope,
                                          const HeadOptions& head) {
  const weights::StateDict file = weights::load_state_dict(path);
  Model changed = model.clone();  // an exception below leaves the caller's model as it was
  const bool fits_old = fits(file, changed, scope);
  if (fits_old) weights::copy_into(file, changed.state_dict());
  changed.replace_head(scope, head);
  HeadWeights result = HeadWeights::replaced;
  if (!fits_old) {
    const bool fits_new = !names_in_scope(file, scope).empty() && fits(file, changed, scope);
    result = fits_new ? HeadWeights::kept : HeadWeights::left_out;
    fits_new ? weights::copy_into(file, changed.state_dict()) : copy_without(file, changed, scope);
  }
  model.set_graph(changed.graph());
  return result;
}

}  // namespace limbeck
