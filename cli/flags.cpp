#include "cli/flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "limbeck/core/overloaded.h"

namespace limbeck::cli {

namespace {

using recipe::Choice;
using recipe::FieldRef;
using recipe::Fields;

std::string default_text(const FieldRef& value) {
  return std::visit(core::Overloaded{
                        // Of the very types that FieldRef holds: pointers to const would lose to the last line.
                        [](bool* flag) -> std::string { return *flag ? "true" : "false"; },
                        [](const Choice& choice) { return choice.get(); }, [](std::string* text) { return *text; },
                        [](int64_t* number) { return fmt::format("{}", *number); },
                        [](uint64_t* number) { return fmt::format("{}", *number); },
                        [](double* number) { return fmt::format("{}", *number); },
                        [](const auto&) { return std::string(); },  // lists and what has no default
                    },
                    value);
}

class Collector : public Fields {
 public:
  explicit Collector(std::string prefix) : prefix_(std::move(prefix)) {}

  void field(const char* key, FieldRef value, const char* help) override {
    std::string text = help;
    if (const auto* choice = std::get_if<Choice>(&value)) text += fmt::format(" ({})", fmt::join(choice->names, ", "));
    flags.push_back({.path = prefix_ + key, .help = std::move(text), .default_text = default_text(value)});
  }
  void section(const char* key, const char*, const Describe& describe) override {
    Collector inner(prefix_ + key + ".");
    describe(inner);
    flags.insert(flags.end(), inner.flags.begin(), inner.flags.end());
  }
  void list(const char*, const char*, const List&) override {}
  void variants(const char* key, const char* help, const Variants&) override {
    flags.push_back({.path = prefix_ + key,
                     .help = fmt::format("{}, as a YAML list: '[{{resize: {{size: 256}}}}, ...]'", help),
                     .default_text = {}});
  }
  void required(const char*) override {}

  std::vector<Flag> flags;

 private:
  std::string prefix_;
};

}  // namespace

std::vector<Flag> flags_of(const Fields::Describe& describe) {
  Collector collector("");
  describe(collector);
  return std::move(collector.flags);
}

}  // namespace limbeck::cli
