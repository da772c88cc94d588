#include "limbeck/train/sets/role.h"

#include "limbeck/core/error.h"

namespace limbeck::train {

std::string Role::to_string() const {
  if (kind == Kind::eval) return "eval";
  if (kind == Kind::train) return "train";
  return buffers == Buffers::keep ? "frozen_train(keep)" : "frozen_train(update)";
}

Role parse_role(const std::string& text) {
  for (const Role& role : {Role::eval, Role::train, frozen_train(Buffers::keep), frozen_train(Buffers::update)}) {
    if (text == role.to_string()) return role;
  }
  fail<InvalidArgument>(
      "[optimize] role '{}' does not exist. Use eval, train, frozen_train(keep) or frozen_train(update).", text);
}

}  // namespace limbeck::train
