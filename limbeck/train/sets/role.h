// Roles: what a model of a set is there for. A role decides mode, gradients and buffer writes of every run; the mode of
// the user's own handle is neither read nor changed by it.
#pragma once

#include <cstdint>
#include <string>

namespace limbeck::train {

/// Running statistics and other buffers that a train-mode forward writes.
enum class Buffers : uint8_t {
  keep,    // the buffers' bits stay
  update,  // written as eager does
};

struct Role {
  enum class Kind : uint8_t {
    eval,          // eval-mode forward; no gradients for its parameters, no buffer writes
    train,         // train-mode forward, gradients, buffers written
    frozen_train,  // train-mode forward (batch statistics, dropout live); no gradients for its parameters
  };
  Kind kind = Kind::eval;
  Buffers buffers = Buffers::keep;

  static const Role eval, train;

  bool is_trained() const { return kind == Kind::train; }
  /// "eval", "train", "frozen_train(keep)" or "frozen_train(update)".
  std::string to_string() const;
  friend bool operator==(const Role&, const Role&) = default;
};

// NOLINTBEGIN(readability-identifier-naming): users write them as the enumerators that they stand for
inline constexpr Role Role::eval{.kind = Role::Kind::eval, .buffers = Buffers::keep};
inline constexpr Role Role::train{.kind = Role::Kind::train, .buffers = Buffers::update};
// NOLINTEND(readability-identifier-naming)

constexpr Role frozen_train(Buffers buffers) { return {.kind = Role::Kind::frozen_train, .buffers = buffers}; }

/// The role of that text, as to_string writes it. Throws InvalidArgument naming the valid ones.
Role parse_role(const std::string& text);

}  // namespace limbeck::train
