#include <ATen/ATen.h>

#include <algorithm>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/infer.h"
#include "limbeck/graph/parameter_layout.h"
#include "limbeck/graph/text/text.h"
#include "limbeck/graph/text/text_cursor.h"
#include "limbeck/graph/text/text_reader.h"
#include "limbeck/graph/text/words.h"

namespace limbeck::graph {

namespace {

// Bounds on hostile text; real graphs stay far below them.
constexpr std::size_t kMaxTextBytes = std::size_t{256} << 20;
constexpr int kMaxNesting = 16;             // of lists and trees
constexpr std::size_t kMaxScopeDepth = 64;  // components of a scope's path
constexpr std::size_t kMaxScopeLength = 1024;
constexpr std::size_t kMaxRank = 64;
constexpr int64_t kMaxZeroBytes = int64_t{4} << 30;  // of parameters that come as zeros
constexpr uint32_t kMaxCall = 1 << 20;

/// An entry's name and the name of the value that reads it, if one does.
struct Binding {
  std::string name;
  std::optional<std::string> value;
};

/// Where a node came from: what stands behind its '#'.
struct Origin {
  ScopeId scope = 0;
  uint32_t call = 0;
};

class TextReader {
 public:
  TextReader(std::string_view text, const TextSources& sources) : cursor_(text), sources_(sources) {
    if (text.size() > kMaxTextBytes) cursor_.refuse("the text is longer than {} bytes", kMaxTextBytes);
  }

  Graph read() {
    if (cursor_.at_end()) cursor_.refuse("expected 'graph'");
    header();
    while (!cursor_.at_end()) {
      statement();
      cursor_.expect_line_end();
    }
    return std::move(graph_);
  }

 private:
  void statement() {
    using Handler = void (TextReader::*)();
    static const std::map<std::string_view, Handler> kStatements{
        {"region", &TextReader::region}, {"block", &TextReader::block},   {"param", &TextReader::parameter},
        {"buffer", &TextReader::buffer}, {"train", &TextReader::train},   {"eval", &TextReader::eval},
        {"write", &TextReader::write},   {"range", &TextReader::range},   {"check", &TextReader::check},
        {"assume", &TextReader::assume}, {"values", &TextReader::values}, {"scope", &TextReader::scope},
        {"meta", &TextReader::meta},
    };
    const std::string_view word = cursor_.peek_word();
    const auto handler = kStatements.find(word);
    if (handler == kStatements.end() || cursor_.next_is(std::string(word) + "::")) return node();
    cursor_.accept(word);
    (this->*handler->second)();
  }

  // --- small pieces ------------------------------------------------------------------------------------------
  /// Reads `item` between the brackets, separated by commas.
  template <class Item>
  void list(std::string_view open, std::string_view close, const Item& item) {
    cursor_.expect(open);
    if (cursor_.accept(close)) return;
    do {
      item();
    } while (cursor_.accept(","));
    cursor_.expect(close);
  }

  Binding binding() {
    if (cursor_.accept("%")) {
      const std::string name = cursor_.name();
      return {name, name};
    }
    Binding result{cursor_.name(), std::nullopt};
    if (cursor_.accept("as")) {
      cursor_.expect("%");
      result.value = cursor_.name();
    }
    return result;
  }

  ValueId value() {
    cursor_.expect("%");
    const std::size_t start = cursor_.position();
    const std::string name = cursor_.name();
    if (const auto found = graph_.find_value(name)) return *found;
    cursor_.seek(start);
    cursor_.refuse("no value '%{}' is made above", name);
  }

  bool truth() {
    if (cursor_.accept("True")) return true;
    cursor_.expect("False");
    return false;
  }

  Mode mode() {
    for (const Mode candidate : {Mode::none, Mode::train, Mode::eval, Mode::both}) {
      if (cursor_.accept(mode_name(candidate))) return candidate;
    }
    cursor_.refuse("expected train, eval, both or none");
  }

  ScopeId scope_path() {
    const std::string path = cursor_.name();
    const auto depth = static_cast<std::size_t>(std::count(path.begin(), path.end(), '.')) + 1;
    if (path.size() > kMaxScopeLength || depth > kMaxScopeDepth) cursor_.refuse("a scope is nested too deep");
    return graph_.add_scope(path);
  }

  ScopeId scope_suffix() { return cursor_.accept("#") ? scope_path() : 0; }

  Origin invocation() {
    Origin origin;
    if (!cursor_.next_is("@") && !cursor_.next_is("{") && !cursor_.next_is("=") && !cursor_.at_line_end()) {
      origin.scope = scope_path();
    }
    if (cursor_.accept("@")) origin.call = static_cast<uint32_t>(cursor_.integer(0, kMaxCall));
    return origin;
  }

  // --- types -------------------------------------------------------------------------------------------------
  Sizes sizes(std::string_view open, std::string_view close) {
    Sizes result;
    list(open, close, [&] {
      result.push_back(cursor_.expression());
      if (result.size() > kMaxRank) cursor_.refuse("a tensor has more than {} axes", kMaxRank);
    });
    return result;
  }

  at::Device device() {
    const std::string_view word = cursor_.word(":");
    try {
      return at::Device(std::string(word));
    } catch (const c10::Error&) {
      cursor_.refuse("unknown device '{}'", word);
    }
  }

  TensorType tensor_type(at::ScalarType dtype) {
    TensorType type{.dtype = dtype, .sizes = std::nullopt, .strides = std::nullopt};
    cursor_.expect("[");
    if (cursor_.accept("...")) {
      cursor_.expect("]");
    } else {
      cursor_.seek(cursor_.position() - 1);
      type.sizes = sizes("[", "]");
    }
    if (cursor_.next_is("{")) type.strides = sizes("{", "}");
    if (cursor_.accept("@")) type.device = device();
    type.requires_grad = cursor_.accept("grad");
    return type;
  }

  Type type(int depth = 0) {
    if (depth > kMaxNesting) cursor_.refuse("types are nested deeper than {}", kMaxNesting);
    const std::size_t start = cursor_.position();
    const std::string_view word = cursor_.word();
    if (const auto dtype = dtype_of_word(word); dtype && cursor_.next_is("[")) return {tensor_type(*dtype)};
    if (word == "float") return {FloatType{}};
    if (word == "bool") return {BoolType{}};
    if (word == "none") return {NoneType{}};
    if (word == "int") {
      cursor_.expect("(");
      const IntExpr expr = cursor_.expression();
      cursor_.expect(")");
      return {IntType{expr}};
    }
    if (word == "list") {
      ListType elements;
      list("(", ")", [&] { elements.elements.push_back(type(depth + 1)); });
      return {std::move(elements)};
    }
    cursor_.seek(start);
    cursor_.refuse("'{}' is no type", word);
  }

  TreeSpec tree(int depth = 0) {
    if (depth > kMaxNesting) cursor_.refuse("a tree is nested deeper than {}", kMaxNesting);
    TreeSpec result;
    if (cursor_.accept("*")) return result;
    result.kind = cursor_.name();
    if (cursor_.next_is("\"")) result.type = cursor_.quoted_text();
    list("(", ")", [&] {
      if (!cursor_.next_is("*")) {
        const std::size_t start = cursor_.position();
        std::string key = cursor_.name();
        if (cursor_.accept("=")) {
          result.keys.push_back(std::move(key));
        } else {
          cursor_.seek(start);
        }
      }
      result.children.push_back(tree(depth + 1));
    });
    return result;
  }

  // --- arguments -----------------------------------------------------------------------------------------------
  Argument argument(int depth = 0) {
    if (depth > kMaxNesting) cursor_.refuse("lists are nested deeper than {}", kMaxNesting);
    if (cursor_.next_is("%")) return value();
    if (cursor_.next_is("\"")) return cursor_.quoted_text();
    if (cursor_.next_is("[")) {
      ArgumentList elements;
      list("[", "]", [&] { elements.push_back(argument(depth + 1)); });
      return elements;
    }
    if (const auto number = cursor_.decimal()) return *number;
    return word_argument();
  }

  Argument word_argument() {
    if (cursor_.accept("None")) return None{};
    if (cursor_.next_is("True") || cursor_.next_is("False")) return truth();
    const std::string_view word = cursor_.peek_word();
    const std::size_t dot = word.find('.');
    if (dot != std::string_view::npos) return enumeration(word, dot);
    const bool is_wrapped = (word == "int" || word == "float") && cursor_.accept(word);
    if (!is_wrapped) return cursor_.expression();
    cursor_.expect("(");
    Argument inner = word == "int" ? Argument(cursor_.expression()) : Argument(special_float());
    cursor_.expect(")");
    return inner;
  }

  double special_float() {
    if (cursor_.accept("nan")) return std::numeric_limits<double>::quiet_NaN();
    if (cursor_.accept("inf")) return std::numeric_limits<double>::infinity();
    if (cursor_.accept("-inf")) return -std::numeric_limits<double>::infinity();
    cursor_.refuse("expected nan, inf or -inf");
  }

  /// dtype.f32, device.cuda:0, layout.strided, memory_format.channels_last
  Argument enumeration(std::string_view word, std::size_t dot) {
    const std::string_view kind = word.substr(0, dot), rest = word.substr(dot + 1);
    if (kind == "device") {
      cursor_.seek(cursor_.position() + dot + 1);
      return device();
    }
    const std::size_t start = cursor_.position();
    cursor_.seek(start + word.size());
    if (const auto dtype = kind == "dtype" ? dtype_of_word(rest) : std::nullopt) return *dtype;
    if (const auto layout = kind == "layout" ? layout_of_word(rest) : std::nullopt) return *layout;
    if (const auto format = kind == "memory_format" ? memory_format_of_word(rest) : std::nullopt) return *format;
    cursor_.seek(start);
    cursor_.refuse("'{}' is no argument", word);
  }

  // --- statements ----------------------------------------------------------------------------------------------
  void header() {
    cursor_.expect("graph");
    if (!cursor_.next_is("(")) graph_.metadata["name"] = cursor_.name();
    list("(", ")", [&] {
      Binding input = binding();
      cursor_.expect(":");
      graph_.inputs.push_back({.name = input.name, .type = type()});
      if (input.value) rename_structural(graph_.input_value(graph_.inputs.size() - 1), *input.value);
    });
    if (cursor_.accept("as")) {
      graph_.input_tree = tree();
    } else {
      graph_.input_tree = tuple_of(graph_.inputs.size());
    }
    cursor_.expect_line_end();
  }

  static TreeSpec tuple_of(std::size_t count) {
    return {.kind = "tuple", .type = {}, .keys = {}, .children = std::vector<TreeSpec>(count)};
  }

  void rename_structural(ValueId made, const std::string& name) {
    if (graph_.name(made) == name) return;
    if (graph_.find_value(name)) cursor_.refuse("the value '%{}' is made twice", name);
    graph_.rename(made, name);
  }

  void region() {
    Region region;
    if (cursor_.accept("grad")) {
      cursor_.expect("=");
      region.grad_enabled = truth();
    }
    if (cursor_.accept("autocast")) {
      cursor_.expect("=");
      region.autocast = autocast();
    }
    graph_.add_region(region);
  }

  Region::Autocast autocast() {
    Region::Autocast result;
    std::vector<Argument> parts;
    list("(", ")", [&] { parts.push_back(argument()); });
    const auto* device = parts.size() == 4 ? std::get_if<at::Device>(&parts[0].kind) : nullptr;
    const auto* dtype = parts.size() == 4 ? std::get_if<at::ScalarType>(&parts[2].kind) : nullptr;
    if (device == nullptr || dtype == nullptr || !parts[1].as_bool() || !parts[3].as_bool()) {
      cursor_.refuse("autocast takes (device, enabled, dtype, cache enabled)");
    }
    return {.device_type = device->type(),
            .enabled = *parts[1].as_bool(),
            .dtype = *dtype,
            .cache_enabled = *parts[3].as_bool()};
  }

  void block() {
    const int64_t num_bytes = cursor_.integer(1, INT64_MAX);
    blocks_.push_back(sources_.block(blocks_.size(), num_bytes));
  }

  void parameter() { parameter_line(false); }
  void buffer() { parameter_line(true); }

  void parameter_line(bool is_buffer) {
    const Binding names = binding();
    if (graph_.find_parameter(names.name) != nullptr) cursor_.refuse("'{}' is declared twice", names.name);
    cursor_.expect(":");
    const Type declared = type();
    if (declared.tensor() == nullptr) cursor_.refuse("'{}' must be a tensor", names.name);
    const bool is_persistent = !cursor_.accept("transient");
    graph_.add_parameter({.name = names.name,
                          .tensor = parameter_tensor(names.name, *declared.tensor()),
                          .is_buffer = is_buffer,
                          .is_persistent = is_persistent});
    if (names.value) rename_structural(graph_.parameter_value(names.name), *names.value);
  }

  at::Tensor parameter_tensor(const std::string& name, const TensorType& type) {
    if (cursor_.accept("=")) return tied_tensor(cursor_.name(), type);
    ParameterLine line{.name = name, .type = type, .block = std::nullopt};
    check_constant(line.type);
    if (cursor_.accept("in")) {
      cursor_.expect("block");
      line.block = static_cast<std::size_t>(cursor_.integer(0, static_cast<int64_t>(blocks_.size()) - 1));
      cursor_.expect("at");
      line.offset_bytes = cursor_.integer(0, INT64_MAX);
    }
    at::Tensor tensor = line.block ? view_of_block(line) : sources_.tensor(line);
    const bool differentiable = tensor.is_floating_point() || tensor.is_complex();
    if (type.requires_grad && !differentiable) cursor_.refuse("only floating-point tensors can require a gradient");
    tensor.set_requires_grad(type.requires_grad);
    return tensor;
  }

  at::Tensor tied_tensor(const std::string& other, const TensorType& type) {
    const Parameter* found = graph_.find_parameter(other);
    if (found == nullptr) cursor_.refuse("no parameter '{}' is declared above", other);
    const at::Tensor& tensor = found->tensor;
    if (tensor.scalar_type() != type.dtype || !type.sizes ||
        *type.sizes != Sizes(tensor.sizes().begin(), tensor.sizes().end())) {
      cursor_.refuse("the type differs from that of '{}', which it is tied to", other);
    }
    return tensor;
  }

  void check_constant(const TensorType& type) {
    if (!type.sizes) cursor_.refuse("a parameter needs sizes");
    if (type.strides && type.strides->size() != type.sizes->size()) cursor_.refuse("strides do not fit the sizes");
    for (const auto* list : {&type.sizes, &type.strides}) {
      if (!*list) continue;
      for (const IntExpr& size : **list) {
        if (!size.constant() || *size.constant() < 0)
          cursor_.refuse("a parameter's sizes must be numbers, not negative");
      }
    }
  }

  at::Tensor view_of_block(const ParameterLine& line) {
    const std::vector<int64_t> sizes = constant_sizes(*line.type.sizes);
    if (!line.type.strides) cursor_.refuse("a parameter in a block needs strides");
    const std::vector<int64_t> strides = constant_sizes(*line.type.strides);
    const at::Tensor& block = blocks_[*line.block];
    const auto element = static_cast<int64_t>(c10::elementSize(line.type.dtype));
    const auto bytes = extent_bytes(sizes, strides, element);
    if (!bytes || *bytes > block.numel() || line.offset_bytes > block.numel() - *bytes ||
        line.offset_bytes % element != 0) {
      cursor_.refuse("'{}' does not lie in its block of {} bytes", line.name, block.numel());
    }
    return at::empty({0}, at::TensorOptions().dtype(line.type.dtype).device(block.device()))
        .set_(block.storage(), line.offset_bytes / element, sizes, strides);
  }

  static std::vector<int64_t> constant_sizes(const Sizes& sizes) {
    std::vector<int64_t> result;
    for (const IntExpr& size : sizes) result.push_back(*size.constant());
    return result;
  }

  void node() {
    Node node;
    bool has_types = true;
    if (cursor_.next_is("%")) {
      do {
        cursor_.expect("%");
        node.names.push_back(cursor_.name());
        if (graph_.find_value(node.names.back())) cursor_.refuse("the value '%{}' is made twice", node.names.back());
        has_types &= cursor_.accept(":");
        if (has_types) node.types.push_back(type());
      } while (cursor_.accept(","));
      cursor_.expect("=");
    }
    read_call(node);
    read_origin(node);
    complete(node, has_types);
    const std::vector<std::string> names = node.names;
    const NodeId id = graph_.append(std::move(node));
    if (graph_.node(id).names != names) cursor_.refuse("a node makes one value twice");
  }

  void read_call(Node& node) {
    const std::size_t start = cursor_.position();
    node.op = find_op(cursor_.word(":"));
    if (node.op == nullptr) {
      cursor_.seek(start);
      cursor_.refuse("neither this libtorch nor Limbeck has an op '{}'", cursor_.word(":"));
    }
    if (node.op->is("limbeck::input") || node.op->is("limbeck::parameter")) {
      cursor_.refuse("{} stands for an input or a parameter line", node.op->name);
    }
    std::vector<Argument> positional;
    NamedArguments named;
    list("(", ")", [&] {
      const std::size_t before = cursor_.position();
      const std::string name(cursor_.peek_word());
      if (!name.empty() && cursor_.accept(name) && cursor_.accept("=")) {
        named.emplace_back(name, argument());
        return;
      }
      cursor_.seek(before);
      if (!named.empty()) cursor_.refuse("a positional argument follows a named one");
      positional.push_back(argument());
    });
    try {
      node.arguments = complete_arguments(*node.op, std::move(positional), named);
    } catch (const InvalidArgument& error) {
      cursor_.refuse("{}", error.what());
    }
  }

  void read_origin(Node& node) {
    if (!cursor_.accept("#")) return;
    const Origin origin = invocation();
    node.scope = origin.scope;
    node.call = origin.call;
    if (cursor_.next_is("{")) list("{", "}", [&] { attribute(node); });
  }

  void attribute(Node& node) {
    if (cursor_.accept("in_place")) {
      node.was_in_place = true;
    } else if (cursor_.accept("pinned")) {
      node.pinned_flags = cursor_.bits();
    } else if (cursor_.accept("region")) {
      node.region = static_cast<RegionId>(cursor_.integer(0, static_cast<int64_t>(graph_.regions().size()) - 1));
    } else {
      cursor_.expect("calls");
      std::vector<uint32_t> calls;
      list("[", "]", [&] { calls.push_back(static_cast<uint32_t>(cursor_.integer(0, kMaxCall))); });
      if (calls.size() > kMaxScopeDepth) cursor_.refuse("more than {} calls around a node", kMaxScopeDepth);
      node.outer_calls = graph_.add_outer_calls(std::move(calls));
    }
  }

  void complete(Node& node, bool has_types) {
    if (has_types) return;
    if (!sources_.infers_types) cursor_.refuse("a value needs a type");
    node.types = infer_types(graph_, node);
    if (node.types.size() != node.names.size()) {
      cursor_.refuse("{} has {} outputs, not {}", node.op->name, node.types.size(), node.names.size());
    }
  }

  void train() { outputs(graph_.train_outputs, graph_.train_tree); }
  void eval() { outputs(graph_.eval_outputs, graph_.eval_tree); }

  void outputs(std::vector<Output>& outputs, TreeSpec& spec) {
    cursor_.expect(":");
    outputs.clear();
    list("(", ")", [&] {
      Output output;
      const std::size_t start = cursor_.position();
      if (cursor_.next_is("\"") || !cursor_.peek_word().empty()) {
        output.name = cursor_.name();
        if (!cursor_.accept("=")) {
          output.name.clear();
          cursor_.seek(start);
        }
      }
      output.value = argument();
      outputs.push_back(std::move(output));
    });
    if (cursor_.accept("as")) {
      spec = tree();
    } else {
      spec = outputs.size() == 1 ? TreeSpec{} : tuple_of(outputs.size());
    }
  }

  void write() {
    StateWrite write{.buffer = cursor_.name(), .value = {}};
    cursor_.expect("=");
    write.value = value();
    if (cursor_.accept("when")) write.when = mode();
    write.scope = scope_suffix();
    graph_.state_writes.push_back(std::move(write));
  }

  void range() {
    Range range{.symbol = std::string(cursor_.word())};
    cursor_.expect("=");
    cursor_.expect("[");
    range.min = cursor_.integer(INT64_MIN, INT64_MAX);
    cursor_.expect(",");
    range.max = cursor_.integer(INT64_MIN, INT64_MAX);
    cursor_.expect("]");
    graph_.ranges.push_back(std::move(range));
  }

  void check() {
    Check check;
    check.left = cursor_.expression();
    if (cursor_.accept("==")) {
      check.relation = Check::Relation::equal;
    } else if (cursor_.accept("!=")) {
      check.relation = Check::Relation::not_equal;
    } else if (cursor_.accept("<=")) {
      check.relation = Check::Relation::less_equal;
    } else {
      cursor_.expect("<");
      check.relation = Check::Relation::less;
    }
    check.right = cursor_.expression();
    cursor_.expect(":");
    check.message = cursor_.quoted_text();
    graph_.checks.push_back(std::move(check));
  }

  void assume() {
    Assumption assumption;
    assumption.when = mode();
    cursor_.expect(":");
    assumption.text = cursor_.quoted_text();
    assumption.scope = scope_suffix();
    graph_.assumptions.push_back(std::move(assumption));
  }

  void values() {
    const Origin origin = invocation();
    ScopeOutputs outputs{.scope = origin.scope, .call = origin.call, .values = {}};
    cursor_.expect("=");
    list("(", ")", [&] { outputs.values.push_back(value()); });
    graph_.scope_outputs.push_back(std::move(outputs));
  }

  void scope() {
    const ScopeId id = cursor_.next_is(":") ? 0 : scope_path();
    if (!cursor_.accept(":")) return;
    graph_.add_scope(graph_.scope(id).path, cursor_.quoted_text());
  }

  void meta() {
    std::string key = cursor_.name();
    cursor_.expect("=");
    graph_.metadata[std::move(key)] = cursor_.quoted_text();
  }

  TextCursor cursor_;
  const TextSources& sources_;
  Graph graph_;
  std::vector<at::Tensor> blocks_;
};

/// Zeros within a budget.
class ZeroSource {
 public:
  at::Tensor zeros(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides, at::ScalarType dtype) {
    const auto bytes = extent_bytes(sizes, strides, static_cast<int64_t>(c10::elementSize(dtype)));
    LIMBECK_CHECK(bytes && *bytes <= left_, "[graph] the text declares more than {} bytes of parameters",
                  kMaxZeroBytes);
    left_ -= *bytes;
    return at::empty_strided(sizes, strides, dtype).zero_();
  }

 private:
  int64_t left_ = kMaxZeroBytes;
};

}  // namespace

Graph parse_text(std::string_view text, const TextSources& sources) { return TextReader(text, sources).read(); }

Graph parse(std::string_view text) {
  ZeroSource zeros;
  TextSources sources;
  sources.infers_types = true;
  sources.block = [&](std::size_t, int64_t num_bytes) { return zeros.zeros({num_bytes}, {1}, at::kByte); };
  sources.tensor = [&](const ParameterLine& line) {
    std::vector<int64_t> sizes, strides;
    for (const IntExpr& size : *line.type.sizes) sizes.push_back(*size.constant());
    if (line.type.strides) {
      for (const IntExpr& stride : *line.type.strides) strides.push_back(*stride.constant());
    } else {
      strides = contiguous_strides(sizes);
    }
    return zeros.zeros(sizes, strides, line.type.dtype);
  };
  return parse_text(text, sources);
}

}  // namespace limbeck::graph
