#include "limbeck/graph/weights/pickle/pickle.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/graph/weights/pickle/pickle_calls.h"
#include "limbeck/graph/weights/pickle/pickle_text.h"

namespace limbeck::weights {
namespace {

static_assert(std::endian::native == std::endian::little, "pickles are read as little-endian words");

/// Highest protocol that is read; CPython's newest.
constexpr unsigned kMaxProtocol = 5;
/// Memory that calls may copy on top of what grows with the pickle: short pickles need some room.
constexpr std::size_t kCallBytesSlack = 64 << 10;

/// The stack machine. One member function per group of opcodes that differ only in the width of a length.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  PickleDocument read();
  std::size_t position() const { return position_; }

  // Stack.
  void mark();
  void pop();
  void pop_mark();
  void dup();
  void stop();
  // Framing.
  void proto();
  void frame();
  // Constants.
  void none() { push(&none_value()); }
  void new_true() { push(&bool_value(true)); }
  void new_false() { push(&bool_value(false)); }
  void int_line();
  void long_line();
  void float_line();
  template <class T>
  void binary_int() {
    make(static_cast<std::int64_t>(word<T>()));
  }
  void binary_float();
  template <class Length>
  void long_bytes();
  void string_line();
  void unicode_line();
  template <class Length, class Kind>
  void counted_text();
  // Containers.
  void empty_tuple() { make(PickleTuple{}); }
  void empty_list() { make(PickleList{}); }
  void empty_dict() { make(PickleDict{}); }
  void empty_set() { make(PickleSet{}); }
  void tuple() { make(PickleTuple{take_marked()}); }
  void list() { make(PickleList{take_marked()}); }
  void frozen_set() { make(PickleSet{take_marked()}); }
  void dict();
  template <int Size>
  void short_tuple();
  void append();
  void appends();
  void set_item();
  void set_items();
  void add_items();
  // Memo.
  void put_line();
  void get_line();
  template <class Index>
  void put() {
    memo_[word<Index>()] = top();
  }
  template <class Index>
  void get() {
    push_memo(word<Index>());
  }
  void memoize() { memo_[memo_.size()] = top(); }
  // Classes and calls.
  void global();
  void stack_global();
  void persistent_id_line();
  void persistent_id();
  void reduce();
  void new_object();
  void new_object_ex();
  void instance();
  void object();
  void build();
  void refused();

 private:
  [[noreturn]] void malformed(std::string_view what) const {
    fail<IoError>("[pickle] {}: {} at byte {} of {}", where_, what, position_, bytes_.size());
  }

  void require(std::uint64_t count) const;
  std::string_view take(std::size_t count);
  template <class T>
  T word();
  std::string_view line();
  std::int64_t line_int(std::string_view text) const;

  PickleValue& add(PickleValue value);
  void make(PickleValue value) { push(&add(std::move(value))); }
  template <class T>
  void make(T value) {
    make(PickleValue{std::move(value)});
  }
  PickleValue& none_value();
  PickleValue& bool_value(bool value);

  void push(PickleValue* value) { stack_.push_back(value); }
  void push_memo(std::uint64_t index);
  PickleValue* top();
  PickleValue* take_top();
  std::vector<PicklePtr> take_marked();
  std::vector<PicklePtr>& items_of(PickleValue& value);
  std::vector<std::pair<PicklePtr, PicklePtr>>& entries_of(PickleValue& value);
  void add_global(std::string_view module, std::string_view name);
  void make_big_or_small(std::string_view little_endian);
  void call(PicklePtr callable, PicklePtr args);

  std::span<const std::byte> bytes_;
  std::string_view where_;
  std::size_t position_ = 0;
  PickleDocument document_;
  std::vector<PickleValue*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, PickleValue*> memo_;
  PickleValue* none_ = nullptr;
  std::array<PickleValue*, 2> bools_{};
  std::size_t call_bytes_ = 0;
  std::uint8_t opcode_ = 0;
  bool stopped_ = false;
};

struct Opcode {
  std::uint8_t code;
  void (Reader::*run)();
};

constexpr Opcode kOpcodes[] = {
    // Protocol 0.
    {'(', &Reader::mark},
    {'.', &Reader::stop},
    {'0', &Reader::pop},
    {'1', &Reader::pop_mark},
    {'2', &Reader::dup},
    {'F', &Reader::float_line},
    {'I', &Reader::int_line},
    {'L', &Reader::long_line},
    {'N', &Reader::none},
    {'P', &Reader::persistent_id_line},
    {'R', &Reader::reduce},
    {'S', &Reader::string_line},
    {'V', &Reader::unicode_line},
    {'a', &Reader::append},
    {'b', &Reader::build},
    {'c', &Reader::global},
    {'d', &Reader::dict},
    {'g', &Reader::get_line},
    {'i', &Reader::instance},
    {'l', &Reader::list},
    {'p', &Reader::put_line},
    {'s', &Reader::set_item},
    {'t', &Reader::tuple},
    // Protocol 1.
    {')', &Reader::empty_tuple},
    {']', &Reader::empty_list},
    {'}', &Reader::empty_dict},
    {'G', &Reader::binary_float},
    {'J', &Reader::binary_int<std::int32_t>},
    {'K', &Reader::binary_int<std::uint8_t>},
    {'M', &Reader::binary_int<std::uint16_t>},
    {'Q', &Reader::persistent_id},
    {'T', &Reader::counted_text<std::uint32_t, PickleString>},
    {'U', &Reader::counted_text<std::uint8_t, PickleString>},
    {'X', &Reader::counted_text<std::uint32_t, PickleString>},
    {'e', &Reader::appends},
    {'h', &Reader::get<std::uint8_t>},
    {'j', &Reader::get<std::uint32_t>},
    {'o', &Reader::object},
    {'q', &Reader::put<std::uint8_t>},
    {'r', &Reader::put<std::uint32_t>},
    {'u', &Reader::set_items},
    // Protocol 2: what torch.save writes.
    {0x80, &Reader::proto},
    {0x81, &Reader::new_object},
    {0x82, &Reader::refused},  // EXT1, EXT2, EXT4: the extension registry of the process that wrote
    {0x83, &Reader::refused},
    {0x84, &Reader::refused},
    {0x85, &Reader::short_tuple<1>},
    {0x86, &Reader::short_tuple<2>},
    {0x87, &Reader::short_tuple<3>},
    {0x88, &Reader::new_true},
    {0x89, &Reader::new_false},
    {0x8a, &Reader::long_bytes<std::uint8_t>},
    {0x8b, &Reader::long_bytes<std::uint32_t>},
    // Protocols 3 and 4.
    {'B', &Reader::counted_text<std::uint32_t, PickleBytes>},
    {'C', &Reader::counted_text<std::uint8_t, PickleBytes>},
    {0x8c, &Reader::counted_text<std::uint8_t, PickleString>},
    {0x8d, &Reader::counted_text<std::uint64_t, PickleString>},
    {0x8e, &Reader::counted_text<std::uint64_t, PickleBytes>},
    {0x8f, &Reader::empty_set},
    {0x90, &Reader::add_items},
    {0x91, &Reader::frozen_set},
    {0x92, &Reader::new_object_ex},
    {0x93, &Reader::stack_global},
    {0x94, &Reader::memoize},
    {0x95, &Reader::frame},
    // Protocol 5.
    {0x96, &Reader::counted_text<std::uint64_t, PickleBytes>},
    {0x97, &Reader::refused},  // NEXT_BUFFER, READONLY_BUFFER: data outside the file
    {0x98, &Reader::refused},
};

constexpr auto make_dispatch() {
  std::array<void (Reader::*)(), 256> table{};
  for (const Opcode& opcode : kOpcodes) table[opcode.code] = opcode.run;
  return table;
}
constexpr auto kDispatch = make_dispatch();

PickleDocument Reader::read() {
  while (!stopped_) {
    opcode_ = word<std::uint8_t>();
    const auto run = kDispatch[opcode_];
    if (run == nullptr) malformed(fmt::format("unknown opcode 0x{:02x}", opcode_));
    (this->*run)();
  }
  return std::move(document_);
}

void Reader::require(std::uint64_t count) const {
  if (count <= bytes_.size() - position_) return;
  malformed(bytes_.size() == kMaxPickleBytes ? "longer than the limit" : "truncated");
}

std::string_view Reader::take(std::size_t count) {
  require(count);
  const auto* begin = reinterpret_cast<const char*>(bytes_.data()) + position_;
  position_ += count;
  return {begin, count};
}

template <class T>
T Reader::word() {
  T value;
  std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
  return value;
}

/// Up to and without the next newline, which is consumed.
std::string_view Reader::line() {
  const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + position_, bytes_.size() - position_);
  const std::size_t end = rest.find('\n');
  if (end == std::string_view::npos) malformed("unfinished line");
  position_ += end + 1;
  return rest.substr(0, end);
}

std::int64_t Reader::line_int(std::string_view text) const {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) malformed("malformed integer");
  return value;
}

PickleValue& Reader::add(PickleValue value) {
  if (document_.values.size() >= kMaxPickleValues) {
    fail<Unsupported>("[pickle] {}: more than {} values", where_, kMaxPickleValues);
  }
  return document_.values.emplace_back(std::move(value));
}

PickleValue& Reader::none_value() {
  if (none_ == nullptr) none_ = &add({PickleNone{}});
  return *none_;
}

PickleValue& Reader::bool_value(bool value) {
  PickleValue*& slot = bools_[value ? 1 : 0];
  if (slot == nullptr) slot = &add({value});
  return *slot;
}

void Reader::push_memo(std::uint64_t index) {
  const auto it = memo_.find(index);
  if (it == memo_.end()) malformed(fmt::format("memo has no entry {}", index));
  push(it->second);
}

/// Never reaches below the innermost MARK, as in CPython.
PickleValue* Reader::top() {
  const std::size_t floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() <= floor) malformed("empty stack");
  return stack_.back();
}

PickleValue* Reader::take_top() {
  PickleValue* value = top();
  stack_.pop_back();
  return value;
}

std::vector<PicklePtr> Reader::take_marked() {
  if (marks_.empty()) malformed("no mark");
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PicklePtr> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

void Reader::mark() {
  if (marks_.size() >= kMaxPickleMarks) fail<Unsupported>("[pickle] {}: nested too deeply", where_);
  marks_.push_back(stack_.size());
}

/// POP on an empty level removes the mark itself, as CPython does.
void Reader::pop() {
  const std::size_t floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() > floor) {
    stack_.pop_back();
  } else if (!marks_.empty()) {
    marks_.pop_back();
  } else {
    malformed("empty stack");
  }
}

void Reader::pop_mark() { take_marked(); }
void Reader::dup() { push(top()); }

void Reader::stop() {
  document_.root = take_top();
  stopped_ = true;
}

void Reader::proto() {
  const unsigned protocol = word<std::uint8_t>();
  if (protocol > kMaxProtocol) fail<Unsupported>("[pickle] {}: protocol {} is not known", where_, protocol);
}

/// Frames only help buffering; the reader sees the whole pickle anyway.
void Reader::frame() { require(word<std::uint64_t>()); }

void Reader::int_line() {
  const std::string_view text = line();
  if (text == "00" || text == "01") return push(&bool_value(text == "01"));
  make(line_int(text));
}

void Reader::long_line() {
  std::string_view text = line();
  if (text.ends_with('L')) text.remove_suffix(1);
  make(line_int(text));
}

void Reader::float_line() {
  const std::string_view text = line();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) malformed("malformed float");
  make(value);
}

/// BINFLOAT is the one big-endian word of the format.
void Reader::binary_float() {
  std::uint64_t bits = 0;
  for (const char c : take(8)) bits = (bits << 8) | static_cast<unsigned char>(c);
  make(std::bit_cast<double>(bits));
}

void Reader::make_big_or_small(std::string_view little_endian) {
  if (little_endian.size() > sizeof(std::int64_t)) return make(PickleBigInt{std::string(little_endian)});
  const bool negative = !little_endian.empty() && (static_cast<unsigned char>(little_endian.back()) & 0x80) != 0;
  std::int64_t value = negative ? -1 : 0;
  std::memcpy(&value, little_endian.data(), little_endian.size());
  make(value);
}

template <class Length>
void Reader::long_bytes() {
  make_big_or_small(take(word<Length>()));
}

void Reader::string_line() {
  std::optional<std::string> text = decode_string_repr(line());
  if (!text) malformed("malformed string");
  make(PickleString{*std::move(text)});
}

void Reader::unicode_line() {
  std::optional<std::string> text = decode_raw_unicode(line());
  if (!text) malformed("malformed text");
  make(PickleString{*std::move(text)});
}

template <class Length, class Kind>
void Reader::counted_text() {
  const auto length = word<Length>();
  require(length);
  make(Kind{std::string(take(static_cast<std::size_t>(length)))});
}

template <int Size>
void Reader::short_tuple() {
  std::vector<PicklePtr> items(Size);
  for (int i = Size - 1; i >= 0; --i) items[static_cast<std::size_t>(i)] = take_top();
  make(PickleTuple{std::move(items)});
}

void Reader::dict() {
  const std::vector<PicklePtr> items = take_marked();
  if (items.size() % 2 != 0) malformed("odd number of dict items");
  PickleDict made;
  for (std::size_t i = 0; i < items.size(); i += 2) made.entries.emplace_back(items[i], items[i + 1]);
  make(std::move(made));
}

/// Lists and subclasses of list take APPEND.
std::vector<PicklePtr>& Reader::items_of(PickleValue& value) {
  if (auto* list = std::get_if<PickleList>(&value.data)) return list->items;
  if (auto* object = std::get_if<PickleObject>(&value.data)) return object->items;
  malformed("append to " + describe(value));
}

std::vector<std::pair<PicklePtr, PicklePtr>>& Reader::entries_of(PickleValue& value) {
  if (auto* dict = std::get_if<PickleDict>(&value.data)) return dict->entries;
  if (auto* object = std::get_if<PickleObject>(&value.data)) return object->entries;
  malformed("set an item of " + describe(value));
}

void Reader::append() {
  PickleValue* item = take_top();
  items_of(*top()).push_back(item);
}

void Reader::appends() {
  const std::vector<PicklePtr> added = take_marked();
  auto& items = items_of(*top());
  items.insert(items.end(), added.begin(), added.end());
}

void Reader::set_item() {
  PickleValue* value = take_top();
  PickleValue* key = take_top();
  entries_of(*top()).emplace_back(key, value);
}

void Reader::set_items() {
  const std::vector<PicklePtr> added = take_marked();
  if (added.size() % 2 != 0) malformed("odd number of dict items");
  auto& entries = entries_of(*top());
  for (std::size_t i = 0; i < added.size(); i += 2) entries.emplace_back(added[i], added[i + 1]);
}

void Reader::add_items() {
  const std::vector<PicklePtr> added = take_marked();
  auto* set = std::get_if<PickleSet>(&top()->data);
  if (set == nullptr) malformed("add to " + describe(*top()));
  set->items.insert(set->items.end(), added.begin(), added.end());
}

void Reader::put_line() { memo_[static_cast<std::uint64_t>(line_int(line()))] = top(); }
void Reader::get_line() { push_memo(static_cast<std::uint64_t>(line_int(line()))); }

void Reader::add_global(std::string_view module, std::string_view name) {
  if (module.size() > kMaxGlobalName || name.size() > kMaxGlobalName) malformed("overlong name of a class");
  make(PickleGlobal{std::string(module), std::string(name)});
}

void Reader::global() {
  const std::string_view module = line();
  add_global(module, line());
}

void Reader::stack_global() {
  const std::string* name = text_of(*take_top());
  const std::string* module = text_of(*take_top());
  if (name == nullptr || module == nullptr) malformed("name of a class is not text");
  add_global(*module, *name);
}

void Reader::persistent_id_line() { malformed("a textual persistent id"); }
void Reader::persistent_id() { make(interpret_persistent_id(take_top(), where_)); }

std::size_t payload_bytes(const PickleValue& value) {
  if (const auto* tensor = value.get_if<TensorRef>()) return 16 * tensor->sizes.size();
  if (const auto* dict = value.get_if<PickleDict>()) return 16 * dict->entries.size();
  if (const auto* set = value.get_if<PickleSet>()) return 8 * set->items.size();
  if (const auto* bytes = value.get_if<PickleBytes>()) return bytes->bytes.size();
  return 0;
}

/// A call may copy what the memo holds, so a short pickle could ask for the same long copy again and again.
void Reader::call(PicklePtr callable, PicklePtr args) {
  PickleValue value = interpret_call(callable, args, where_);
  call_bytes_ += payload_bytes(value);
  if (call_bytes_ > kMaxBytesPerPickleByte / 4 * position_ + kCallBytesSlack) {
    malformed("calls copy more than the pickle's size allows");
  }
  make(std::move(value));
}

void Reader::reduce() {
  PickleValue* args = take_top();
  PickleValue* callable = take_top();
  call(callable, args);
}

void Reader::new_object() { reduce(); }

/// cls.__new__(cls, *args, **kwargs): keywords only occur with classes that stay inert; they become its items.
void Reader::new_object_ex() {
  PickleValue* keywords = take_top();
  PickleValue* args = take_top();
  PickleValue* callable = take_top();
  make(PickleObject{callable, args, nullptr, {keywords}, {}});
}

void Reader::instance() {
  const std::string_view module = line();
  std::vector<PicklePtr> args = take_marked();
  add_global(module, line());
  PickleValue* callable = take_top();
  call(callable, &add({PickleTuple{std::move(args)}}));
}

void Reader::object() {
  std::vector<PicklePtr> args = take_marked();
  if (args.empty()) malformed("object without a class");
  const PicklePtr callable = args.front();
  args.erase(args.begin());
  call(callable, &add({PickleTuple{std::move(args)}}));
}

void Reader::build() {
  PickleValue* state = take_top();
  PickleValue* value = top();
  if (auto* dict = std::get_if<PickleDict>(&value->data)) {
    dict->state = state;
  } else if (auto* object = std::get_if<PickleObject>(&value->data)) {
    object->state = state;
  } else {
    malformed("state set on " + describe(*value));
  }
}

void Reader::refused() {
  fail<Unsupported>("[pickle] {}: opcode 0x{:02x} refers to data outside the file", where_, opcode_);
}

}  // namespace

PickleDocument read_pickle(std::span<const std::byte> bytes, std::string_view where, std::size_t* consumed) {
  // What follows STOP (the storages of a legacy file) is no part of the pickle's size.
  Reader reader(bytes.first(std::min(bytes.size(), kMaxPickleBytes)), where);
  PickleDocument document = reader.read();
  if (consumed != nullptr) *consumed = reader.position();
  return document;
}

}  // namespace limbeck::weights
