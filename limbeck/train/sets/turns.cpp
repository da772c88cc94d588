#include "limbeck/train/sets/turns.h"

#include <algorithm>

namespace limbeck::train {

bool Turns::has_fresh() const {
  return std::any_of(turns_.begin(), turns_.end(), [](const Turn& turn) { return turn.is_fresh; });
}

bool Turns::has_stepped() const {
  return std::any_of(turns_.begin(), turns_.end(), [](const Turn& turn) { return turn.has_stepped; });
}

void Turns::begin() {
  for (Turn& turn : turns_) turn.is_fresh = true;
}

void Turns::end_micro_batch() {
  for (Turn& turn : turns_) turn.is_fresh = false;
  ++num_micro_batches_;
}

void Turns::end_alone(std::size_t optimizer) {
  turns_[optimizer] = {.is_fresh = false, .is_spent = true, .has_stepped = true};
}

void Turns::forget(std::size_t optimizer) { turns_[optimizer].is_fresh = turns_[optimizer].is_spent = false; }

void Turns::begin_next_step() {
  num_micro_batches_ = 0;
  for (Turn& turn : turns_) turn.is_fresh = turn.is_spent = false;
}

void Turns::end_iteration() {
  for (Turn& turn : turns_) turn.has_stepped = false;
  has_overflown_ = false;
}

}  // namespace limbeck::train
