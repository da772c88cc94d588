// Who has and who updates each tensor of a set: one map by identity (TensorImpl) over all models and optimizers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "limbeck/train/sets/optimizer_ref.h"
#include "limbeck/train/sets/role.h"
#include "limbeck/train/sets/set_member.h"

namespace limbeck::train {

/// A model of the set with what its role is and why.
struct Member {
  std::string name;
  std::shared_ptr<SetMember> model;
  std::optional<Role> role;  // empty until resolve_roles
  std::string role_reason{};
};

/// One of the places where a tensor stands.
struct Place {
  std::size_t member = 0;
  std::string name;
  bool is_buffer = false;
};

struct MappedTensor {
  at::Tensor tensor;
  std::vector<Place> places;               // in the order of the models
  std::optional<std::size_t> optimizer{};  // that owns it
};

class TensorMap {
 public:
  /// All parameters and buffers of the members.
  explicit TensorMap(const std::vector<Member>& members);

  const std::vector<MappedTensor>& tensors() const { return tensors_; }
  MappedTensor* find(const at::Tensor& tensor);
  const MappedTensor* find(const at::Tensor& tensor) const;
  /// "'fc.weight' of 'student'".
  std::string describe(const MappedTensor& tensor) const;

 private:
  std::vector<std::string> member_names_;
  std::vector<MappedTensor> tensors_;
  std::unordered_map<const void*, std::size_t> by_identity_;
};

/// Enters each optimizer's parameters into the map. Throws InvalidArgument, naming the parameter, for one that no
/// member has, that is a buffer, or that is owned twice.
void claim_parameters(TensorMap& map, const std::vector<OptimizerRef>& optimizers);

/// Gives a role to members that have none: train where an optimizer owns one of their parameters, eval where their
/// handle is in eval mode. Throws InvalidArgument for a handle in train mode that no optimizer updates.
void resolve_roles(std::vector<Member>& members, const TensorMap& map);

/// Throws InvalidArgument, naming the tensor, where one stands in two roles that contradict each other; and for a
/// trained member of which no optimizer owns a parameter. Members have roles.
void check_roles(const std::vector<Member>& members, const TensorMap& map);

/// Whether a role trains the tensor, its requires_grad apart.
bool is_trained(const MappedTensor& tensor, const std::vector<Member>& members);

}  // namespace limbeck::train
