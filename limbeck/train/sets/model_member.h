// A limbeck::Model as a member of a set.
#pragma once

#include "limbeck/train/sets/set_member.h"

namespace limbeck::train {

/// Runs the user's model itself, in the role's mode instead of the handle's; scopes that the user gave a mode of their
/// own (frozen batch norms) keep it.
class ModelMember : public SetMember {
 public:
  explicit ModelMember(const Model& model) : model_(model) {}

  std::string type() const override { return "limbeck::Model"; }
  std::vector<NamedTensor> parameters() const override { return model_.named_parameters(); }
  std::vector<NamedTensor> buffers() const override { return model_.named_buffers(); }
  bool is_training() const override { return model_.is_training(); }
  uint64_t revision() const override { return model_.revision(); }
  void prepare(const MemberRun& how) override { prepared_ = how; }
  MemberNotes notes(Precision precision) const override;
  Outputs run(const Inputs& inputs, const MemberRun& how) override;

 private:
  Model model_;         // a handle on the user's
  MemberRun prepared_;  // how the set runs it
};

}  // namespace limbeck::train
