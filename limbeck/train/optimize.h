// optimize(): one call for a set of models and their optimizers, whatever owns what. Teacher and student, one model
// with two optimizers, one optimizer over student and adapter: the set knows every parameter by identity, runs each
// model as its role says, and updates what is to be trained, or says by name why it can't.
//
//   auto set = optimize({{"teacher", teacher, frozen_train(Buffers::update)}, {"student", student, Role::train}},
//                       {&optimizer}, Precision::bf16, {.clip_norm = 1});
//   Outputs t = set.forward("teacher", x), s = set.forward("student", x);
//   set.backward(kd(s.logits(), t.logits(), y, {}));
//   set.step();
//
// Nothing of the user's is copied, patched or re-bound: parameters, gradients and the optimizers' state stay where they
// are, and the handles keep their modes. For one thread at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limbeck/train/loss_scaler.h"
#include "limbeck/train/precision.h"
#include "limbeck/train/sets/optimizer_ref.h"
#include "limbeck/train/sets/role.h"
#include "limbeck/train/sets/role_scope.h"
#include "limbeck/train/sets/set_member.h"
#include "limbeck/train/sets/set_report.h"

namespace limbeck::train {

struct SetModel {
  std::string name;
  MemberRef model;
  /// Not given: train where an optimizer owns one of its parameters, else eval where the handle is in eval mode; a
  /// handle in train mode whose parameters nobody owns is an error.
  std::optional<Role> role{};
};

/// Memory of large freed tensors: kept for the next step, for which libtorch's CPU allocator is exchanged while a set
/// lives (CachingAllocatorScope), or returned to the system at once.
enum class FreedMemory : uint8_t { kept, returned };

struct SetOptions {
  double clip_norm = 0;        // joint 2-norm of all gradients at most this; 0: no clipping
  int64_t accumulate = 1;      // step() updates at every so many calls; the mean of their losses is minimised
  LossScalerOptions scaler{};  // of fp16
  /// training: batch norms and what follows them run as one, equal to eager up to rounding; none: eager's bits.
  Fusion fusion = Fusion::training;
  FreedMemory freed_memory = FreedMemory::kept;

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

struct SetStep {
  bool is_updated = false;  // the optimizers stepped
  bool is_skipped = false;  // fp16: a gradient overflowed, the scale was lowered, nothing was updated
  double grad_norm = 0;     // joint 2-norm before clipping, of unscaled gradients; 0 unless is_updated
};

struct ForwardOptions {
  std::vector<std::string> taps{};  // as RunOptions::taps
};

enum class RetainGraph : uint8_t { no, yes };

class ModelSet {
 public:
  ModelSet(const std::vector<SetModel>& models, std::vector<OptimizerRef> optimizers, Precision precision,
           const SetOptions& options);
  ~ModelSet();
  ModelSet(ModelSet&&) noexcept;
  ModelSet& operator=(ModelSet&&) noexcept;

  /// Runs a model as its role says. A model that is not trained records no gradients, unless an input requires one
  /// (gradients then flow through it to the input, never into its parameters). Gradients are recorded only where
  /// c10::GradMode is on. Throws InvalidArgument for an unknown name, and what the model's forward throws.
  Outputs forward(std::string_view name, const Inputs& inputs, const ForwardOptions& options = {});

  /// What forward() puts around a run, for members whose outputs are not tensors by name: enter, run, leave. `inputs`
  /// are the run's tensors.
  RoleScope enter(std::string_view name, std::span<const at::Tensor> inputs);

  /// Gradients of `loss`, a scalar, times the loss scale and divided by the micro-batches of a step. The first call
  /// after an update forgets the gradients that were there; further ones add up. Throws InvalidArgument for a loss that
  /// no trained model had a part in.
  void backward(const at::Tensor& loss, RetainGraph retain = RetainGraph::no);

  /// Ends a micro-batch; at every `accumulate`-th call unscales, checks, clips and updates. Gradients stay readable
  /// until the next backward(), as it made them: with the loss scale and not clipped, except those of optimizers that
  /// have no fused rule. Throws InvalidArgument when loss or gradients are not finite (weights stand; in fp16 the step
  /// is skipped instead), when backward() was not called, and for groups that came to own what they must not. What an
  /// optimizer throws is thrown on with a note that says which ones had updated by then.
  SetStep step();
  /// The same for optimizers that evaluate the model themselves (LBFGS): `closure` calls forward and backward and
  /// returns the loss. It is called once for all optimizers that need none. If it throws, weights stand.
  SetStep step(const LossClosure& closure);
  /// Updates from the micro-batches so far, however few, weighted as a whole step: at the end of an epoch.
  SetStep finish_accumulation();
  /// Forgets the gradients of all trained models and the micro-batches so far.
  void zero_grad();

  /// One optimizer at a time, for models that train in turns (generator and discriminator): step() of that one alone,
  /// with a norm, a clipping and in fp16 an overflow of its own. The gradients of all others stay, those of this one
  /// are forgotten by the next backward(). Throws InvalidArgument as step() does; for an optimizer that is not of the
  /// set; with accumulate above 1; and in fp16 where update_scale() is due.
  SetStep step(const OptimizerRef& optimizer);
  /// Forgets the gradients of what that optimizer updates: those, too, that another one's loss left there.
  void zero_grad(const OptimizerRef& optimizer);
  /// fp16: ends an iteration of steps of single optimizers, as torch.amp.GradScaler.update() does: the scale is lowered
  /// if one of them overflowed. Else nothing. Throws InvalidArgument where none of them stepped.
  void update_scale();

  Role role(std::string_view name) const;
  SetMember& member(std::string_view name);
  Precision precision() const;
  /// Low-precision copies of weights that were made so far: one for each parameter between two of its updates, however
  /// many runs there are; of models that nobody trains one in all.
  int64_t num_weight_casts() const;
  /// The scaler of fp16, else null: its state belongs into checkpoints.
  LossScaler* scaler();
  /// As of now: groups that were added since are in it.
  SetReport report() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Joins models and optimizers to a set. Optimizers must outlive it. Throws InvalidArgument, with the parameter's name,
/// for: a name given twice; a parameter that an optimizer owns and no model has; one that two optimizers own; one in
/// two roles (train and eval together mean train); a trained model of which no optimizer owns anything; a model in
/// train mode without a role. An optimizer that owns nothing trained is taken with a warning.
ModelSet optimize(const std::vector<SetModel>& models, std::vector<OptimizerRef> optimizers,
                  Precision precision = Precision::fp32, const SetOptions& options = {});

}  // namespace limbeck::train
