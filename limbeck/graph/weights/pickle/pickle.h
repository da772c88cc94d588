// A reader of Python pickles, protocols 0 to 5, for state dicts and checkpoints that torch.save wrote. It is a stack
// machine over a table of opcodes; REDUCE interprets the few callables listed in pickle_calls.cpp and turns all others
// into inert values. Input is hostile: every length, index and count is checked, and memory stays proportional to the
// pickle's size (at most kMaxBytesPerPickleByte times it).
// Sources: CPython's Lib/pickletools.py for the opcodes, torch/_utils.py for the meaning of the rebuild functions.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "limbeck/graph/weights/pickle/pickle_value.h"

namespace limbeck::weights {

/// Largest pickle that is read: its tensors' bytes stand outside it, about 150 bytes per tensor inside.
inline constexpr std::size_t kMaxPickleBytes = std::size_t{64} << 20;
/// Largest number of values of one pickle.
inline constexpr std::size_t kMaxPickleValues = std::size_t{16} << 20;
/// Open MARKs at one time; Python's own writer nests about as deep as its recursion limit of 1,000.
inline constexpr std::size_t kMaxPickleMarks = 10'000;
/// Dimensions of a tensor, as libtorch's serializers bound them.
inline constexpr std::size_t kMaxTensorDims = 64;
/// Characters of a class's module, of its name, and of a storage's key: each may be repeated from the memo.
inline constexpr std::size_t kMaxGlobalName = 256;
inline constexpr std::size_t kMaxStorageKey = 128;
/// Memory that a value may cost per byte of its pickle: the smallest opcode that makes one is a single byte.
inline constexpr std::size_t kMaxBytesPerPickleByte = 256;

/// Reads one pickle from the start of `bytes`; what follows STOP is left alone. `where` begins every message, and is
/// usually the file's path. On return, `consumed`, if given, is the number of bytes up to and including STOP.
/// Throws IoError where the pickle is truncated or malformed, Unsupported where it needs what is not allowed
/// (extension registry, out-of-band buffers, a callable on the list with arguments that it does not take).
PickleDocument read_pickle(std::span<const std::byte> bytes, std::string_view where, std::size_t* consumed = nullptr);

}  // namespace limbeck::weights
