#include "limbeck/graph/int_expr.h"

#include <algorithm>
#include <cctype>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "limbeck/core/error.h"

namespace limbeck::graph {

/// One interned, non-constant expression. An atom is anything but a sum; a sum is constant + Σ coefficient · Π factors.
struct ExprData {
  enum class Kind { symbol, sum, floor_div, mod, max, min };
  using Monomial = std::vector<const ExprData*>;  // atoms ordered by text; never empty
  struct MonomialLess {                           // by text, so that normal forms do not depend on addresses
    bool operator()(const Monomial& a, const Monomial& b) const;
  };
  using Terms = std::map<Monomial, int64_t, MonomialLess>;

  Kind kind = Kind::symbol;
  std::string text;      // the printed normal form, which is also the key of the intern table; a symbol's name
  int64_t constant = 0;  // sum
  Terms terms;           // sum; no zero coefficients
  IntExpr left, right;   // the binary kinds

  static const ExprData* of(IntExpr expr) { return expr.data_; }
  static IntExpr wrap(const ExprData* data) { return IntExpr(data); }
};

bool ExprData::MonomialLess::operator()(const Monomial& a, const Monomial& b) const {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                      [](const ExprData* x, const ExprData* y) { return x->text < y->text; });
}

namespace {

using Kind = ExprData::Kind;
using Monomial = ExprData::Monomial;
using Terms = ExprData::Terms;

constexpr std::size_t kMaxTerms = 256;  // a polynomial larger than this is a hostile file, not a shape
constexpr int kMaxParseDepth = 64;

int64_t checked(int64_t a, int64_t b, bool (*operation)(int64_t, int64_t, int64_t*)) {
  int64_t result = 0;
  LIMBECK_CHECK(!operation(a, b, &result), "[graph] integer expression overflows 64 bits: {} and {}", a, b);
  return result;
}
int64_t add(int64_t a, int64_t b) {
  return checked(a, b, [](int64_t x, int64_t y, int64_t* r) { return __builtin_add_overflow(x, y, r); });
}
int64_t multiply(int64_t a, int64_t b) {
  return checked(a, b, [](int64_t x, int64_t y, int64_t* r) { return __builtin_mul_overflow(x, y, r); });
}
int64_t floor_div_constant(int64_t a, int64_t b) {
  LIMBECK_CHECK(b != 0, "[graph] division of {} by zero in an integer expression", a);
  if (b == -1) return multiply(a, -1);
  const int64_t quotient = a / b;
  return (a % b != 0 && (a % b < 0) != (b < 0)) ? quotient - 1 : quotient;
}
int64_t mod_constant(int64_t a, int64_t b) { return add(a, -multiply(floor_div_constant(a, b), b)); }

/// The process's table of expressions, keyed by their printed normal form.
class InternTable {
 public:
  const ExprData* intern(ExprData data) {
    const std::lock_guard lock(mutex_);
    auto [slot, is_new] = table_.try_emplace(data.text);
    if (is_new) slot->second = std::make_unique<const ExprData>(std::move(data));
    return slot->second.get();
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<const ExprData>> table_;
};

InternTable& intern_table() {
  static InternTable* const table = new InternTable;  // never destroyed: expressions may outlive static destruction
  return *table;
}

/// constant + Σ coefficient · monomial, while it is being computed with.
struct Polynomial {
  int64_t constant = 0;
  Terms terms;

  void add_term(const Monomial& monomial, int64_t coefficient) {
    auto slot = terms.try_emplace(monomial, 0).first;
    slot->second = add(slot->second, coefficient);
    if (slot->second == 0) terms.erase(slot);
    LIMBECK_CHECK(terms.size() <= kMaxTerms, "[graph] integer expression has more than {} terms", kMaxTerms);
  }
};

Polynomial polynomial(IntExpr expr) {
  if (const auto constant = expr.constant()) return {.constant = *constant, .terms = {}};
  const ExprData* data = ExprData::of(expr);
  if (data->kind == Kind::sum) return {.constant = data->constant, .terms = data->terms};
  return {.constant = 0, .terms = {{{data}, 1}}};
}

std::string monomial_text(const Monomial& monomial) {
  std::string text;
  for (const ExprData* atom : monomial) {
    if (!text.empty()) text += '*';
    text += atom->text;
  }
  return text;
}

std::string polynomial_text(int64_t constant, const Terms& terms) {
  std::string text;
  const auto append = [&text](bool negative, const std::string& magnitude) {
    if (text.empty()) {
      text = (negative ? "-" : "") + magnitude;
    } else {
      text += (negative ? " - " : " + ") + magnitude;
    }
  };
  for (const auto& [monomial, coefficient] : terms) {
    const uint64_t magnitude =
        coefficient < 0 ? 0 - static_cast<uint64_t>(coefficient) : static_cast<uint64_t>(coefficient);
    append(coefficient < 0, (magnitude == 1 ? "" : std::to_string(magnitude) + "*") + monomial_text(monomial));
  }
  if (constant != 0) {
    const uint64_t magnitude = constant < 0 ? 0 - static_cast<uint64_t>(constant) : static_cast<uint64_t>(constant);
    append(constant < 0, std::to_string(magnitude));
  }
  return text;
}

IntExpr from_polynomial(Polynomial sum) {
  if (sum.terms.empty()) return sum.constant;
  const auto& [monomial, coefficient] = *sum.terms.begin();
  if (sum.terms.size() == 1 && sum.constant == 0 && coefficient == 1 && monomial.size() == 1) {
    return ExprData::wrap(monomial.front());
  }
  std::string text = polynomial_text(sum.constant, sum.terms);
  return ExprData::wrap(intern_table().intern({.kind = Kind::sum,
                                               .text = std::move(text),
                                               .constant = sum.constant,
                                               .terms = std::move(sum.terms),
                                               .left = {},
                                               .right = {}}));
}

Monomial product(const Monomial& a, const Monomial& b) {
  Monomial result;
  result.reserve(a.size() + b.size());
  std::merge(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(result),
             [](const ExprData* x, const ExprData* y) { return x->text < y->text; });
  LIMBECK_CHECK(result.size() <= kMaxTerms, "[graph] integer expression has a product of more than {} factors",
                kMaxTerms);
  return result;
}

std::string operand_text(IntExpr expr) {
  const ExprData* data = ExprData::of(expr);
  if (expr.is_constant() ? *expr.constant() >= 0 : data->kind != Kind::sum) return expr.to_string();
  return "(" + expr.to_string() + ")";
}

std::string binary_text(Kind kind, IntExpr left, IntExpr right) {
  switch (kind) {
    case Kind::floor_div:
      return "(" + operand_text(left) + "//" + operand_text(right) + ")";
    case Kind::mod:
      return "(" + operand_text(left) + "%" + operand_text(right) + ")";
    case Kind::max:
      return "max(" + left.to_string() + ", " + right.to_string() + ")";
    case Kind::min:
      return "min(" + left.to_string() + ", " + right.to_string() + ")";
    default:
      fail<InternalError>("[graph] not a binary expression");
  }
}

IntExpr make_binary(Kind kind, IntExpr left, IntExpr right) {
  return ExprData::wrap(intern_table().intern({.kind = kind,
                                               .text = binary_text(kind, left, right),
                                               .constant = 0,
                                               .terms = {},
                                               .left = left,
                                               .right = right}));
}

/// The factors of `monomial` without those of `divisor`, or nullopt when it is not a multiple.
std::optional<Monomial> quotient(const Monomial& monomial, const Monomial& divisor) {
  Monomial rest = monomial;
  for (const ExprData* factor : divisor) {
    const auto position = std::find(rest.begin(), rest.end(), factor);
    if (position == rest.end()) return std::nullopt;
    rest.erase(position);
  }
  return rest;
}

struct Division {
  Polynomial quotient, rest;
};

/// Splits `dividend` into the terms that are exact multiples of the single-term `divisor` and the others.
Division split(const Polynomial& dividend, const Monomial& divisor, int64_t coefficient) {
  Division result;
  for (const auto& [monomial, multiple] : dividend.terms) {
    const std::optional<Monomial> factors = quotient(monomial, divisor);
    if (!factors || multiple % coefficient != 0) {
      result.rest.add_term(monomial, multiple);
    } else if (factors->empty()) {
      result.quotient.constant = add(result.quotient.constant, multiple / coefficient);
    } else {
      result.quotient.add_term(*factors, multiple / coefficient);
    }
  }
  result.rest.constant = dividend.constant;
  if (divisor.empty()) {
    const int64_t whole = floor_div_constant(dividend.constant, coefficient);
    result.quotient.constant = add(result.quotient.constant, whole);
    result.rest.constant = mod_constant(dividend.constant, coefficient);
  }
  return result;
}

/// Division by a constant or by one term; nullopt for a divisor with several terms.
std::optional<Division> divide(IntExpr a, IntExpr b) {
  const Polynomial divisor = polynomial(b);
  if (divisor.terms.empty()) {
    LIMBECK_CHECK(divisor.constant != 0, "[graph] division by zero in an integer expression");
    if (divisor.constant == -1) return std::nullopt;
    return split(polynomial(a), {}, divisor.constant);
  }
  if (divisor.terms.size() != 1 || divisor.constant != 0) return std::nullopt;
  return split(polynomial(a), divisor.terms.begin()->first, divisor.terms.begin()->second);
}

bool is_zero(const Polynomial& polynomial) { return polynomial.terms.empty() && polynomial.constant == 0; }

}  // namespace

IntExpr IntExpr::symbol(std::string_view name) {
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  LIMBECK_CHECK(!name.empty() && std::isdigit(static_cast<unsigned char>(name.front())) == 0 &&
                    std::all_of(name.begin(), name.end(), is_word),
                "[graph] '{}' is not a symbol's name: use letters, digits and '_'", name);
  return IntExpr(intern_table().intern(
      {.kind = Kind::symbol, .text = std::string(name), .constant = 0, .terms = {}, .left = {}, .right = {}}));
}

std::optional<std::string> IntExpr::symbol_name() const {
  if (data_ == nullptr || data_->kind != Kind::symbol) return std::nullopt;
  return data_->text;
}

std::set<std::string> IntExpr::symbols() const {
  std::set<std::string> result;
  if (data_ == nullptr) return result;
  if (data_->kind == Kind::symbol) result.insert(data_->text);
  for (const auto& [monomial, coefficient] : data_->terms) {
    for (const ExprData* atom : monomial) result.merge(IntExpr(atom).symbols());
  }
  result.merge(data_->left.symbols());
  result.merge(data_->right.symbols());
  return result;
}

int64_t IntExpr::evaluate(const Bindings& bindings) const {
  std::map<std::string, IntExpr, std::less<>> values;
  for (const std::string& name : symbols()) {
    const auto binding = bindings.find(name);
    LIMBECK_CHECK(binding != bindings.end(), "[graph] size '{}' in '{}' has no value in this run", name, to_string());
    values.emplace(name, binding->second);
  }
  return *substitute(values).constant();
}

IntExpr IntExpr::substitute(const std::map<std::string, IntExpr, std::less<>>& values) const {
  if (data_ == nullptr) return *this;
  switch (data_->kind) {
    case Kind::symbol: {
      const auto value = values.find(data_->text);
      return value == values.end() ? *this : value->second;
    }
    case Kind::sum: {
      IntExpr sum = data_->constant;
      for (const auto& [monomial, coefficient] : data_->terms) {
        IntExpr term = coefficient;
        for (const ExprData* atom : monomial) term = term * IntExpr(atom).substitute(values);
        sum = sum + term;
      }
      return sum;
    }
    case Kind::floor_div:
      return floor_div(data_->left.substitute(values), data_->right.substitute(values));
    case Kind::mod:
      return mod(data_->left.substitute(values), data_->right.substitute(values));
    case Kind::max:
      return max(data_->left.substitute(values), data_->right.substitute(values));
    case Kind::min:
      return min(data_->left.substitute(values), data_->right.substitute(values));
  }
  fail<InternalError>("[graph] unknown kind of integer expression");
}

std::string IntExpr::to_string() const { return data_ == nullptr ? std::to_string(value_) : data_->text; }

IntExpr operator+(IntExpr a, IntExpr b) {
  Polynomial sum = polynomial(a);
  const Polynomial other = polynomial(b);
  sum.constant = add(sum.constant, other.constant);
  for (const auto& [monomial, coefficient] : other.terms) sum.add_term(monomial, coefficient);
  return from_polynomial(std::move(sum));
}

IntExpr operator-(IntExpr a, IntExpr b) { return a + IntExpr(-1) * b; }

IntExpr operator*(IntExpr a, IntExpr b) {
  const Polynomial left = polynomial(a), right = polynomial(b);
  Polynomial result{.constant = multiply(left.constant, right.constant), .terms = {}};
  for (const auto& [monomial, coefficient] : left.terms) {
    if (right.constant != 0) result.add_term(monomial, multiply(coefficient, right.constant));
    for (const auto& [other, factor] : right.terms)
      result.add_term(product(monomial, other), multiply(coefficient, factor));
  }
  if (left.constant != 0) {
    for (const auto& [monomial, coefficient] : right.terms)
      result.add_term(monomial, multiply(coefficient, left.constant));
  }
  return from_polynomial(std::move(result));
}

IntExpr floor_div(IntExpr a, IntExpr b) {
  if (a.is_constant() && b.is_constant()) return floor_div_constant(*a.constant(), *b.constant());
  const std::optional<Division> division = divide(a, b);
  if (!division) return a == b ? IntExpr(1) : make_binary(Kind::floor_div, a, b);
  const IntExpr whole = from_polynomial(division->quotient), rest = from_polynomial(division->rest);
  if (is_zero(division->rest)) return whole;
  if (rest.is_constant() && b.is_constant()) return whole + floor_div_constant(*rest.constant(), *b.constant());
  return whole + make_binary(Kind::floor_div, rest, b);
}

IntExpr mod(IntExpr a, IntExpr b) {
  if (a.is_constant() && b.is_constant()) return mod_constant(*a.constant(), *b.constant());
  const std::optional<Division> division = divide(a, b);
  if (!division) return a == b ? IntExpr(0) : make_binary(Kind::mod, a, b);
  const IntExpr rest = from_polynomial(division->rest);
  if (is_zero(division->rest)) return 0;
  if (rest.is_constant() && b.is_constant()) return mod_constant(*rest.constant(), *b.constant());
  return make_binary(Kind::mod, rest, b);
}

IntExpr max(IntExpr a, IntExpr b) {
  if (const auto difference = (a - b).constant()) return *difference >= 0 ? a : b;
  if (b.to_string() < a.to_string()) std::swap(a, b);
  return make_binary(Kind::max, a, b);
}

IntExpr min(IntExpr a, IntExpr b) {
  if (const auto difference = (a - b).constant()) return *difference <= 0 ? a : b;
  if (b.to_string() < a.to_string()) std::swap(a, b);
  return make_binary(Kind::min, a, b);
}

IntExpr ceil_div(IntExpr a, IntExpr b) { return floor_div(a + b - IntExpr(1), b); }

namespace {

/// Recursive descent over Python's precedence:
///   sum := term (('+'|'-') term)*    term := unary (('*'|'//'|'%') unary)*    unary := '-' unary | power
///   power := atom ('**' unary)?      atom := number | symbol | function '(' sum, ... ')' | '(' sum ')'
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  IntExpr parse() {
    const IntExpr result = sum(0);
    skip_space();
    LIMBECK_CHECK(position_ == text_.size(), "[graph] cannot read integer expression '{}' at column {}", text_,
                  position_ + 1);
    return result;
  }

 private:
  IntExpr sum(int depth) {
    LIMBECK_CHECK(depth < kMaxParseDepth, "[graph] integer expression is nested deeper than {}", kMaxParseDepth);
    IntExpr result = term(depth);
    for (;;) {
      if (accept("+")) {
        result = result + term(depth);
      } else if (accept("-")) {
        result = result - term(depth);
      } else {
        return result;
      }
    }
  }

  IntExpr term(int depth) {
    IntExpr result = unary(depth);
    for (;;) {
      if (accept("//")) {
        result = floor_div(result, unary(depth));
      } else if (accept("%")) {
        result = mod(result, unary(depth));
      } else if (accept("*")) {
        result = result * unary(depth);
      } else {
        return result;
      }
    }
  }

  IntExpr unary(int depth) {
    LIMBECK_CHECK(depth < kMaxParseDepth, "[graph] integer expression is nested deeper than {}", kMaxParseDepth);
    if (!accept("-")) return power(depth);
    const std::size_t start = position_;
    if (next_is_digit()) {
      const IntExpr negative = number(-1);
      if (!next_is("**")) return negative;
      position_ = start;
    }
    return IntExpr(0) - unary(depth + 1);
  }

  IntExpr power(int depth) {
    const IntExpr base = atom(depth);
    if (!accept("**")) return base;
    const std::optional<int64_t> exponent = unary(depth).constant();
    LIMBECK_CHECK(exponent && *exponent >= 0 && *exponent <= 8, "[graph] exponent in '{}' must be between 0 and 8",
                  text_);
    IntExpr result = 1;
    for (int64_t i = 0; i < *exponent; ++i) result = result * base;
    return result;
  }

  IntExpr atom(int depth) {
    if (accept("(")) {
      const IntExpr inner = sum(depth + 1);
      expect(")");
      return inner;
    }
    return next_is_digit() ? number(1) : symbol_or_call(depth);
  }

  bool next_is_digit() {
    skip_space();
    return position_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[position_])) != 0;
  }

  /// Digits, summed up with their sign so that the smallest integer can be read too.
  IntExpr number(int64_t sign) {
    int64_t value = 0;
    while (position_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[position_])) != 0) {
      value = add(multiply(value, 10), sign * (text_[position_++] - '0'));
    }
    return value;
  }

  IntExpr symbol_or_call(int depth) {
    const std::size_t start = position_;
    while (position_ < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[position_])) != 0 || text_[position_] == '_')) {
      ++position_;
    }
    const std::string_view name = text_.substr(start, position_ - start);
    LIMBECK_CHECK(!name.empty(), "[graph] cannot read integer expression '{}' at column {}", text_, start + 1);
    if (!accept("(")) return IntExpr::symbol(name);
    IntExpr first = sum(depth + 1);
    if (!next_is(",")) {
      expect(")");
      return call(name, first, std::nullopt);
    }
    while (accept(",")) first = call(name, first, sum(depth + 1));
    expect(")");
    return first;
  }

  IntExpr call(std::string_view name, IntExpr a, std::optional<IntExpr> b) {
    if (b && (name == "FloorDiv" || name == "PythonFloorDiv" || name == "CleanDiv" || name == "IntTrueDiv"))
      return floor_div(a, *b);
    if (b && (name == "Mod" || name == "PythonMod")) return mod(a, *b);
    if (b && (name == "max" || name == "Max")) return max(a, *b);
    if (b && (name == "min" || name == "Min")) return min(a, *b);
    if (!b && (name == "TruncToInt" || name == "FloorToInt" || name == "Identity")) return a;
    fail<InvalidArgument>("[graph] unknown function '{}' in integer expression '{}'", name, text_);
  }

  void skip_space() {
    while (position_ < text_.size() && text_[position_] == ' ') ++position_;
  }
  bool next_is(std::string_view token) {
    skip_space();
    return text_.substr(position_, token.size()) == token;
  }
  bool accept(std::string_view token) {
    if (!next_is(token)) return false;
    position_ += token.size();
    return true;
  }
  void expect(std::string_view token) {
    LIMBECK_CHECK(accept(token), "[graph] expected '{}' in integer expression '{}' at column {}", token, text_,
                  position_ + 1);
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

}  // namespace

IntExpr IntExpr::parse(std::string_view text) { return Parser(text).parse(); }

}  // namespace limbeck::graph
