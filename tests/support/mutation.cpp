#include "tests/support/mutation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <exception>

#include "limbeck/core/error.h"
#include "tests/support/allocation_guard.h"

namespace limbeck::testing {
namespace {

constexpr std::size_t kMaxGrowth = std::size_t{64} << 10;

// SplitMix64 (Steele, Lea and Flood 2014): independent of the generator that the library has under test.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  std::size_t below(std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(next() % n); }
  char byte() { return static_cast<char>(next()); }

 private:
  std::uint64_t state_;
};

// A piece of the text: begin and length, seldom long.
std::pair<std::size_t, std::size_t> piece(const std::string& text, Random& random) {
  const std::size_t begin = random.below(text.size());
  const std::size_t longest = random.below(4) == 0 ? text.size() : 16;
  return {begin, std::min(text.size() - begin, 1 + random.below(longest))};
}

void flip_bit(std::string& text, Random& random) {
  char& c = text[random.below(text.size())];
  c = static_cast<char>(c ^ (1 << random.below(8)));
}

void set_byte(std::string& text, Random& random) {
  constexpr std::string_view kInteresting("\x00\xff\x80\x7f\x01 \"\\{}[]:,-0", 17);
  const bool chosen = random.below(2) == 0;
  const char value = chosen ? kInteresting[random.below(kInteresting.size())] : random.byte();
  text[random.below(text.size())] = value;
}

void truncate(std::string& text, Random& random) { text.resize(random.below(text.size())); }

void erase(std::string& text, Random& random) {
  const auto [begin, length] = piece(text, random);
  text.erase(begin, length);
}

void duplicate(std::string& text, Random& random) {
  const auto [begin, length] = piece(text, random);
  const std::string copy = text.substr(begin, std::min(length, kMaxGrowth / 8));
  text.insert(random.below(text.size() + 1), copy);
}

void insert(std::string& text, Random& random) {
  std::string bytes(1 + random.below(16), '\0');
  for (char& c : bytes) c = random.byte();
  text.insert(random.below(text.size() + 1), bytes);
}

void swap_pieces(std::string& text, Random& random) {
  const auto [a, length_a] = piece(text, random);
  const auto [b, length_b] = piece(text, random);
  const std::size_t length = std::min(length_a, length_b);
  std::swap_ranges(text.begin() + static_cast<std::ptrdiff_t>(std::min(a, b)),
                   text.begin() + static_cast<std::ptrdiff_t>(std::min(std::min(a, b) + length, std::max(a, b))),
                   text.begin() + static_cast<std::ptrdiff_t>(std::max(a, b)));
}

// Values where lengths, counts and offsets go wrong.
std::uint64_t interesting_number(Random& random) {
  constexpr std::array<std::uint64_t, 14> kNumbers = {0,          1,          7,          0x7F,
                                                      0xFF,       0xFFFF,     0x7FFFFFFF, 0x80000000,
                                                      0xFFFFFFFF, 1ull << 40, 1ull << 62, (1ull << 63) - 1,
                                                      1ull << 63, ~0ull};
  return kNumbers[random.below(kNumbers.size())];
}

// Overwrites 1, 2, 4 or 8 bytes by a number in either byte order; half of the time near the beginning or the end, where
// formats keep their lengths.
void set_binary_number(std::string& text, Random& random) {
  const std::size_t width = std::min<std::size_t>(std::size_t{1} << random.below(4), text.size());
  const std::size_t last = text.size() - width;
  const std::size_t reach = std::min<std::size_t>(last, 64);
  const std::size_t choice = random.below(4);
  const std::size_t place = choice == 0   ? random.below(reach + 1)
                            : choice == 1 ? last - random.below(reach + 1)
                                          : random.below(last + 1);
  const std::uint64_t value = interesting_number(random);
  const bool big_endian = random.below(4) == 0;
  for (std::size_t i = 0; i < width; ++i)
    text[place + i] = static_cast<char>(value >> (8 * (big_endian ? width - 1 - i : i)));
}

// Adds a small amount to a byte: lengths that are off by one.
void nudge_byte(std::string& text, Random& random) {
  char& c = text[random.below(text.size())];
  c = static_cast<char>(c + static_cast<int>(random.below(9)) - 4);
}

// Replaces a decimal number of the text by another one.
void set_decimal_number(std::string& text, Random& random) {
  const auto is_digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  const auto from = text.begin() + static_cast<std::ptrdiff_t>(random.below(text.size()));
  const auto begin = std::find_if(from, text.end(), is_digit);
  if (begin == text.end()) return flip_bit(text, random);
  const auto end = std::find_if_not(begin, text.end(), is_digit);
  const std::string number = (random.below(4) == 0 ? "-" : "") + std::to_string(interesting_number(random));
  text.replace(begin, end, number);
}

using Edit = void (*)(std::string&, Random&);
constexpr std::array<Edit, 11> kEdits = {flip_bit, set_byte,    truncate,          erase,      duplicate,
                                         insert,   swap_pieces, set_binary_number, nudge_byte, set_decimal_number,
                                         flip_bit};

}  // namespace

int fuzz_iterations(int fallback) {
  const char* text = std::getenv("LIMBECK_FUZZ_ITERATIONS");
  const int value = text != nullptr ? std::atoi(text) : 0;
  return value > 0 ? value : fallback;
}

std::string mutate(std::string_view original, std::uint64_t seed, std::uint64_t iteration) {
  Random random(Random(seed).next() ^ Random(iteration + 0x5851F42D4C957F2D).next());
  std::string text(original);
  const std::size_t num_edits = 1 + (random.below(2) == 0 ? 0 : random.below(8));
  for (std::size_t i = 0; i < num_edits; ++i) {
    if (text.empty())
      insert(text, random);
    else
      kEdits[random.below(kEdits.size())](text, random);
  }
  if (text.size() > original.size() + kMaxGrowth) text.resize(original.size() + kMaxGrowth);
  return text;
}

FuzzCounts fuzz_reader(std::string_view original, const std::function<void(const std::string&)>& read,
                       const FuzzOptions& options) {
  FuzzCounts counts;
  for (int i = 0; i < options.iterations; ++i) {
    const std::string input = mutate(original, options.seed, static_cast<std::uint64_t>(i));
    const std::string which = fmt::format("seed {}, iteration {}", options.seed, i);
    const AllocationGuard guard(options.max_allocation_bytes);
    try {
      read(input);
      ++counts.accepted;
    } catch (const Error&) {
      ++counts.refused;
    } catch (const std::bad_alloc&) {
    } catch (const std::exception& error) {
      ADD_FAILURE() << which << ": not a limbeck::Error: " << error.what();
      return counts;
    }
    if (guard.is_exceeded()) {
      ADD_FAILURE() << which << ": an allocation of " << guard.largest_bytes() << " bytes, the limit is "
                    << options.max_allocation_bytes;
      return counts;
    }
  }
  return counts;
}

}  // namespace limbeck::testing
