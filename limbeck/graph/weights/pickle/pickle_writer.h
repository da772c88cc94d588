// Writes the pickle of a state dict, protocol 2, in the opcodes that torch.load(weights_only=True) accepts. Used by
// pth_writer.cpp alone.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace limbeck::weights {

class PickleWriter {
 public:
  PickleWriter();

  void none() { out_ += 'N'; }
  void boolean(bool value) { out_ += value ? '\x88' : '\x89'; }
  void integer(std::int64_t value);
  void real(double value);
  void text(std::string_view value);
  void global(std::string_view module, std::string_view name);
  void mark() { out_ += '('; }
  void empty_dict() { out_ += '}'; }
  /// A tuple of everything since the mark.
  void tuple() { out_ += 't'; }
  void empty_list() { out_ += ']'; }
  /// list, mark, item, ... -> list.
  void append_items() { out_ += 'e'; }
  void integers(std::span<const std::int64_t> values);
  /// callable, tuple -> result.
  void reduce() { out_ += 'R'; }
  void empty_ordered_dict();
  /// dict, mark, key, value, ... -> dict.
  void set_items() { out_ += 'u'; }
  /// tuple -> what the archive has under this id.
  void persistent_id() { out_ += 'Q'; }

  /// Ends the pickle; nothing may follow.
  std::string finish();

 private:
  std::string out_;
};

}  // namespace limbeck::weights
