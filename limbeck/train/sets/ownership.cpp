#include "limbeck/train/sets/ownership.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "limbeck/core/error.h"

namespace limbeck::train {

namespace {

std::string sizes_text(const at::Tensor& tensor) { return fmt::format("[{}]", fmt::join(tensor.sizes(), ", ")); }

/// "parameter 'fc.weight' of optimizer 1 (torch::optim::SGD)", or by its position where the optimizer has no names.
struct OptimizerPlace {
  std::size_t optimizer, group, index;
  const OptimizerAdapter& adapter;
  const ParameterGroup& in;

  std::string optimizer_text() const { return fmt::format("optimizer {} ({})", optimizer, adapter.name()); }
  std::string text() const {
    const bool is_named = index < in.names.size() && !in.names[index].empty();
    const std::string name = is_named ? fmt::format("'{}'", in.names[index]) : fmt::format("{}", index);
    return fmt::format("parameter {} of shape {} in group {} of {}", name, sizes_text(in.parameters[index]), group,
                       optimizer_text());
  }
};

/// Parameters of that shape that nobody owns: what the user may have meant after a clone, a new head or a move.
std::string same_shape_hint(const TensorMap& map, const at::Tensor& tensor) {
  for (const MappedTensor& known : map.tensors()) {
    if (known.places.front().is_buffer || known.optimizer || known.tensor.sizes() != tensor.sizes()) continue;
    return fmt::format(
        " {} has its shape and no owner: was the optimizer made before a clone, a new head or a move to "
        "another device?",
        map.describe(known));
  }
  return {};
}

bool has_any(const TensorMap& map, const std::vector<ParameterGroup>& groups) {
  return std::any_of(groups.begin(), groups.end(), [&](const ParameterGroup& group) {
    return std::any_of(group.parameters.begin(), group.parameters.end(),
                       [&](const at::Tensor& parameter) { return map.find(parameter) != nullptr; });
  });
}

void claim(TensorMap& map, const OptimizerPlace& place, const std::vector<OptimizerRef>& optimizers) {
  MappedTensor* known = map.find(place.in.parameters[place.index]);
  if (known == nullptr) {
    fail<InvalidArgument>("[optimize] {} belongs to no model of the set.{} Add its model to the set.", place.text(),
                          same_shape_hint(map, place.in.parameters[place.index]));
  }
  LIMBECK_CHECK(!known->places.front().is_buffer,
                "[optimize] {} is the buffer {}: optimizers update parameters. Take it out of the optimizer.",
                place.text(), map.describe(*known));
  if (known->optimizer) {
    fail<InvalidArgument>("[optimize] parameter {} is owned twice: by optimizer {} ({}) and by {}. Leave it in one.",
                          map.describe(*known), *known->optimizer, optimizers[*known->optimizer]->name(),
                          place.optimizer_text());
  }
  known->optimizer = place.optimizer;
}

void check_distinct(const std::vector<OptimizerRef>& optimizers) {
  for (std::size_t i = 0; i < optimizers.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      LIMBECK_CHECK(optimizers[i]->identity() != optimizers[j]->identity(),
                    "[optimize] optimizers {} and {} are the same {}. Name it once.", j, i, optimizers[i]->name());
    }
  }
}

/// Train and eval together mean train; equal roles agree; everything else contradicts.
bool do_agree(const Role& a, const Role& b) {
  const auto is = [](const Role& role, Role::Kind kind) { return role.kind == kind; };
  return a == b || (is(a, Role::Kind::train) && is(b, Role::Kind::eval)) ||
         (is(a, Role::Kind::eval) && is(b, Role::Kind::train));
}

void check_places_agree(const std::vector<Member>& members, const MappedTensor& tensor) {
  const Place& first = tensor.places.front();
  for (const Place& other : tensor.places) {
    const Member &a = members[first.member], &b = members[other.member];
    if (do_agree(*a.role, *b.role)) continue;
    fail<InvalidArgument>(
        "[optimize] {} '{}' of '{}' ({}) is '{}' of '{}' ({}): one tensor can't have both roles. Give the models one "
        "role, or make one of them a clone.",
        first.is_buffer ? "buffer" : "parameter", first.name, a.name, a.role->to_string(), other.name, b.name,
        b.role->to_string());
  }
}

/// The first parameter of member `index`, or null.
const MappedTensor* first_parameter(const TensorMap& map, std::size_t index) {
  for (const MappedTensor& tensor : map.tensors()) {
    for (const Place& place : tensor.places) {
      if (place.member == index && !place.is_buffer) return &tensor;
    }
  }
  return nullptr;
}

bool is_in(const MappedTensor& tensor, std::size_t member) {
  return std::any_of(tensor.places.begin(), tensor.places.end(),
                     [&](const Place& place) { return place.member == member; });
}

bool is_owned_somewhere(const TensorMap& map, std::size_t member) {
  return std::any_of(map.tensors().begin(), map.tensors().end(),
                     [&](const MappedTensor& tensor) { return tensor.optimizer.has_value() && is_in(tensor, member); });
}

std::string name_in(const MappedTensor& tensor, std::size_t member) {
  const auto place = std::find_if(tensor.places.begin(), tensor.places.end(),
                                  [&](const Place& candidate) { return candidate.member == member; });
  return place->name;
}

}  // namespace

TensorMap::TensorMap(const std::vector<Member>& members) {
  const auto enter = [&](std::size_t member, const NamedTensor& named, bool is_buffer) {
    const auto [entry, is_new] = by_identity_.emplace(named.tensor.unsafeGetTensorImpl(), tensors_.size());
    if (is_new) tensors_.push_back({.tensor = named.tensor, .places = {}});
    tensors_[entry->second].places.push_back({.member = member, .name = named.name, .is_buffer = is_buffer});
  };
  for (std::size_t i = 0; i < members.size(); ++i) {
    member_names_.push_back(members[i].name);
    for (const NamedTensor& parameter : members[i].model->parameters()) enter(i, parameter, false);
    for (const NamedTensor& buffer : members[i].model->buffers()) enter(i, buffer, true);
  }
}

const MappedTensor* TensorMap::find(const at::Tensor& tensor) const {
  const auto found = by_identity_.find(tensor.unsafeGetTensorImpl());
  return found == by_identity_.end() ? nullptr : &tensors_[found->second];
}

MappedTensor* TensorMap::find(const at::Tensor& tensor) {
  return const_cast<MappedTensor*>(std::as_const(*this).find(tensor));
}

std::string TensorMap::describe(const MappedTensor& tensor) const {
  const Place& place = tensor.places.front();
  return fmt::format("'{}' of '{}'", place.name, member_names_[place.member]);
}

void claim_parameters(TensorMap& map, const std::vector<OptimizerRef>& optimizers) {
  check_distinct(optimizers);
  for (std::size_t i = 0; i < optimizers.size(); ++i) {
    const std::vector<ParameterGroup> groups = optimizers[i]->groups();
    if (!groups.empty() && !groups.front().parameters.empty() && !has_any(map, groups)) {
      const OptimizerPlace first{i, 0, 0, *optimizers[i], groups.front()};
      fail<InvalidArgument>(
          "[optimize] {} owns nothing of this set: {} and all its others belong to no model.{} Add "
          "their model to the set, or leave the optimizer out.",
          first.optimizer_text(), first.text(), same_shape_hint(map, groups.front().parameters.front()));
    }
    for (std::size_t g = 0; g < groups.size(); ++g) {
      for (std::size_t p = 0; p < groups[g].parameters.size(); ++p) {
        claim(map, {i, g, p, *optimizers[i], groups[g]}, optimizers);
      }
    }
  }
}

void resolve_roles(std::vector<Member>& members, const TensorMap& map) {
  for (std::size_t i = 0; i < members.size(); ++i) {
    Member& member = members[i];
    if (member.role) continue;
    if (is_owned_somewhere(map, i)) {
      member.role = Role::train;
      member.role_reason = "no role was given, and an optimizer owns its parameters";
      continue;
    }
    const MappedTensor* first = first_parameter(map, i);
    if (member.model->is_training() && first != nullptr) {
      fail<InvalidArgument>(
          "[optimize] '{}' is in train mode, has no role, and no optimizer owns its parameter '{}'. Say what it is "
          "there for: eval, frozen_train(keep), frozen_train(update), or train with an optimizer.",
          member.name, name_in(*first, i));
    }
    member.role = Role::eval;
    member.role_reason = "no role was given, and no optimizer owns its parameters";
  }
}

void check_roles(const std::vector<Member>& members, const TensorMap& map) {
  for (const MappedTensor& tensor : map.tensors()) check_places_agree(members, tensor);
  for (std::size_t i = 0; i < members.size(); ++i) {
    const MappedTensor* first = first_parameter(map, i);
    if (!members[i].role->is_trained() || first == nullptr || is_owned_somewhere(map, i)) continue;
    fail<InvalidArgument>(
        "[optimize] '{}' has the role train, and no optimizer owns any of its parameters, '{}' being the first: "
        "nothing of it would be trained. Give an optimizer its parameters, or the model the role frozen_train.",
        members[i].name, name_in(*first, i));
  }
}

bool is_trained(const MappedTensor& tensor, const std::vector<Member>& members) {
  return std::any_of(tensor.places.begin(), tensor.places.end(),
                     [&](const Place& place) { return !place.is_buffer && members[place.member].role->is_trained(); });
}

}  // namespace limbeck::train
