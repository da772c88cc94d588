// What optimize() needs of a model: its parameters and buffers by name, and a run in a given mode. limbeck::Model is
// one; models of other kinds (Python's nn.Module) become members by implementing SetMember.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "limbeck/model/model.h"
#include "limbeck/train/precision.h"

namespace limbeck::train {

/// How a role wants a model to be run.
struct MemberRun {
  graph::Mode mode = graph::Mode::eval;  // train or eval
  StateUpdates state_updates = StateUpdates::discard;
  std::vector<std::string> taps{};
  Fusion fusion = Fusion::none;
};

/// What a member says of itself in the report; each line a sentence without a full stop.
struct MemberNotes {
  std::vector<std::string> cast{};   // what runs in the low precision
  std::vector<std::string> fused{};  // what was joined
  std::vector<std::string> left{};   // what was left as it is, and why
};

class SetMember {
 public:
  virtual ~SetMember() = default;

  /// What it is, for reports: "limbeck::Model", "nn.Module ResNet".
  virtual std::string type() const = 0;
  /// All parameters, trainable or not, each tensor once under its first name.
  virtual std::vector<NamedTensor> parameters() const = 0;
  virtual std::vector<NamedTensor> buffers() const = 0;
  /// Whether the user's own handle is in train mode: asked only where no role was given.
  virtual bool is_training() const = 0;
  /// Changes whenever parameters() or buffers() may name other tensors (after a new head, a move to a device).
  virtual uint64_t revision() const { return 0; }
  /// How its runs will be, taps apart: told by the set before the first one and whenever revision() changes.
  virtual void prepare(const MemberRun&) {}
  virtual MemberNotes notes(Precision precision) const = 0;

  /// One run. The set has arranged for gradient recording and autocast; the member sees to mode, buffer writes and
  /// taps, and leaves the user's handle in the mode that it had.
  virtual Outputs run(const Inputs& inputs, const MemberRun& how) = 0;
};

/// A handle on a member: made from a Model or from a SetMember of one's own.
class MemberRef {
 public:
  MemberRef(const Model& model);                                                // implicit: users pass models
  MemberRef(std::shared_ptr<SetMember> member) : member_(std::move(member)) {}  // implicit
  const std::shared_ptr<SetMember>& get() const { return member_; }

 private:
  std::shared_ptr<SetMember> member_;
};

}  // namespace limbeck::train
