// What each optimizer of a set has of gradients, and where the step stands that they are for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace limbeck::train {

/// One optimizer's.
struct Turn {
  bool is_fresh = false;     // backward() since its last step
  bool is_spent = false;     // it stepped from them: the next backward() forgets them
  bool has_stepped = false;  // alone, since the last iteration's end
};

/// By optimizer. An iteration is what lies between two updates of the loss scale.
class Turns {
 public:
  explicit Turns(std::size_t num_optimizers) : turns_(num_optimizers) {}

  const Turn& of(std::size_t optimizer) const { return turns_[optimizer]; }
  std::size_t size() const { return turns_.size(); }
  /// Whether anyone has gradients that it has not stepped from.
  bool has_fresh() const;
  /// Whether anyone stepped alone in this iteration.
  bool has_stepped() const;
  /// Whether a gradient overflowed in such a step.
  bool has_overflown() const { return has_overflown_; }
  /// Micro-batches that ended since the last update.
  int64_t num_micro_batches() const { return num_micro_batches_; }

  /// Everyone's gradients are fresh.
  void begin();
  /// Of everyone; counts them.
  void end_micro_batch();
  /// One optimizer stepped alone, or would have but for an overflow.
  void end_alone(std::size_t optimizer);
  void tell_of_overflow() { has_overflown_ = true; }
  /// Its gradients are gone.
  void forget(std::size_t optimizer);
  /// Nobody has gradients of a step that is under way.
  void begin_next_step();
  void end_iteration();

 private:
  std::vector<Turn> turns_;
  int64_t num_micro_batches_ = 0;
  bool has_overflown_ = false;
};

}  // namespace limbeck::train
