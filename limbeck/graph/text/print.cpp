#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/graph/parameter_layout.h"
#include "limbeck/graph/text/text.h"
#include "limbeck/graph/text/words.h"

namespace limbeck::graph {

namespace {

/// `items` with `text_of` applied, joined by ", ".
std::string joined(const auto& items, const auto& text_of) {
  std::string text;
  for (const auto& item : items) {
    if (!text.empty()) text += ", ";
    text += text_of(item);
  }
  return text;
}

std::string sizes_list(const Sizes& sizes) {
  return joined(sizes, [](const IntExpr& size) { return size.to_string(); });
}

std::string tensor_text(const TensorType& type) {
  std::string text(dtype_word(type.dtype));
  text += "[" + (type.sizes ? sizes_list(*type.sizes) : std::string("...")) + "]";
  if (type.strides) text += "{" + sizes_list(*type.strides) + "}";
  if (!type.device.is_cpu() || type.device.has_index()) text += "@" + type.device.str();
  if (type.requires_grad) text += " grad";
  return text;
}

std::string type_text(const Type& type) {
  if (const TensorType* tensor = type.tensor()) return tensor_text(*tensor);
  if (const auto* integer = std::get_if<IntType>(&type.kind)) return "int(" + integer->expr.to_string() + ")";
  if (std::holds_alternative<FloatType>(type.kind)) return "float";
  if (std::holds_alternative<BoolType>(type.kind)) return "bool";
  if (const ListType* list = type.list()) return "list(" + joined(list->elements, type_text) + ")";
  return "none";
}

/// Shortest text that reads back to the same bits, and always with '.', 'e' or a word.
std::string double_text(double value) {
  if (std::isnan(value)) return "float(nan)";
  if (std::isinf(value)) return value > 0 ? "float(inf)" : "float(-inf)";
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  std::string text(buffer, result.ptr);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string integer_text(const IntExpr& value) {
  static const std::set<std::string> kWords{"None", "True", "False", "int", "float"};
  std::string text = value.to_string();
  for (const std::string& symbol : value.symbols()) {
    if (kWords.count(symbol) != 0) return "int(" + text + ")";
  }
  return text;
}

/// Prints one graph.
class Printer {
 public:
  explicit Printer(const Graph& graph) : graph_(graph), layout_(layout_of_parameters(graph)) {
    for (const NodeId id : graph_.order()) {
      const Node& node = graph_.node(id);
      if (node.op->is("limbeck::parameter")) parameter_values_[*node.arguments.at(0).text()] = node.names.at(0);
    }
  }

  std::string print() {
    header();
    regions();
    parameters();
    for (const NodeId id : graph_.order()) node(graph_.node(id));
    outputs("train", graph_.train_outputs, graph_.train_tree);
    outputs("eval", graph_.eval_outputs, graph_.eval_tree);
    for (const StateWrite& write : graph_.state_writes) state_write(write);
    conditions();
    scopes();
    for (const auto& [key, value] : graph_.metadata) {
      if (key != "name") line("meta " + name_text(key) + " = " + quote(value));
    }
    return std::move(text_);
  }

 private:
  void line(const std::string& content) { text_ += "  " + content + "\n"; }

  std::string value_text(ValueId value) const { return "%" + name_text(graph_.name(value)); }

  std::string argument_text(const Argument& argument) const {
    return std::visit([this](const auto& value) { return constant_text(value); }, argument.kind);
  }
  std::string constant_text(const None&) const { return "None"; }
  std::string constant_text(ValueId value) const { return value_text(value); }
  std::string constant_text(const IntExpr& value) const { return integer_text(value); }
  std::string constant_text(double value) const { return double_text(value); }
  std::string constant_text(bool value) const { return value ? "True" : "False"; }
  std::string constant_text(const std::string& value) const { return quote(value); }
  std::string constant_text(at::ScalarType value) const { return "dtype." + std::string(dtype_word(value)); }
  std::string constant_text(at::Device value) const { return "device." + value.str(); }
  std::string constant_text(at::Layout value) const { return "layout." + std::string(layout_word(value)); }
  std::string constant_text(at::MemoryFormat value) const {
    return "memory_format." + std::string(memory_format_word(value));
  }
  std::string constant_text(const ArgumentList& list) const {
    return "[" + joined(list, [this](const Argument& element) { return argument_text(element); }) + "]";
  }

  /// "%x" when the entry's value bears its name, "x" when nothing reads it, else "x as %x_1".
  static std::string binding_text(const std::string& name, const std::string* value) {
    if (value == nullptr) return name_text(name);
    if (*value == name) return "%" + name_text(name);
    return name_text(name) + " as %" + name_text(*value);
  }

  static std::string tree_text(const TreeSpec& tree) {
    if (tree.kind == "leaf") return "*";
    std::string children;
    for (std::size_t i = 0; i < tree.children.size(); ++i) {
      if (i != 0) children += ", ";
      if (i < tree.keys.size()) children += name_text(tree.keys[i]) + "=";
      children += tree_text(tree.children[i]);
    }
    return name_text(tree.kind) + (tree.type.empty() ? "" : " " + quote(tree.type)) + "(" + children + ")";
  }

  void header() {
    const auto name = graph_.metadata.find("name");
    text_ = "graph" + (name == graph_.metadata.end() ? "" : " " + name_text(name->second)) + "(";
    for (std::size_t i = 0; i < graph_.inputs.size(); ++i) {
      const auto value = graph_.find_input_value(i);
      if (i != 0) text_ += ", ";
      text_ += binding_text(graph_.inputs[i].name, value ? &graph_.name(*value) : nullptr) + ": " +
               type_text(graph_.inputs[i].type);
    }
    text_ += ") as " + tree_text(graph_.input_tree) + "\n";
  }

  void regions() {
    for (std::size_t i = 1; i < graph_.regions().size(); ++i) {
      const Region& region = graph_.regions()[i];
      std::string text = "region";
      if (region.grad_enabled) text += *region.grad_enabled ? " grad=True" : " grad=False";
      if (region.autocast) {
        const Region::Autocast& autocast = *region.autocast;
        text += " autocast=(device." + at::Device(autocast.device_type).str() + ", " + constant_text(autocast.enabled) +
                ", " + constant_text(autocast.dtype) + ", " + constant_text(autocast.cache_enabled) + ")";
      }
      line(text);
    }
  }

  void parameters() {
    for (const ParameterLayout::Block& block : layout_.blocks) line("block " + std::to_string(block.num_bytes));
    for (std::size_t i = 0; i < graph_.parameters().size(); ++i) {
      const Parameter& parameter = graph_.parameters()[i];
      const ParameterPlace& place = layout_.places[i];
      const auto value = parameter_values_.find(parameter.name);
      Type type = type_of_tensor(parameter.tensor);
      if (place.block || !parameter.tensor.is_contiguous()) {
        type.tensor()->strides = Sizes(parameter.tensor.strides().begin(), parameter.tensor.strides().end());
      }
      std::string text = parameter.is_buffer ? "buffer " : "param ";
      text += binding_text(parameter.name, value == parameter_values_.end() ? nullptr : &value->second);
      text += ": " + type_text(type);
      if (!parameter.is_persistent) text += " transient";
      if (place.tied_to) text += " = " + name_text(graph_.parameters()[*place.tied_to].name);
      if (place.block) text += fmt::format(" in block {} at {}", *place.block, place.offset_bytes);
      line(text);
    }
  }

  void node(const Node& node) {
    if (node.op->is("limbeck::input") || node.op->is("limbeck::parameter")) return;
    std::string text;
    for (std::size_t i = 0; i < node.types.size(); ++i) {
      text += (i == 0 ? "%" : ", %") + name_text(node.names.at(i)) + ": " + type_text(node.types[i]);
    }
    if (!node.types.empty()) text += " = ";
    text += node.op->name + "(" +
            joined(node.arguments, [this](const Argument& argument) { return argument_text(argument); }) + ")";
    line(text + origin_text(node));
  }

  /// "  # scope@call {attributes}", or nothing.
  std::string origin_text(const Node& node) const {
    std::string attributes;
    const auto add = [&](const std::string& attribute) { attributes += (attributes.empty() ? "" : ", ") + attribute; };
    if (node.was_in_place) add("in_place");
    if (node.pinned_flags != 0) add(fmt::format("pinned {}", node.pinned_flags));
    if (node.region != 0) add(fmt::format("region {}", node.region));
    if (node.outer_calls != 0) {
      add("calls [" + joined(graph_.outer_calls(node.outer_calls), [](uint32_t n) { return std::to_string(n); }) + "]");
    }
    std::string text = invocation_text(node.scope, node.call);
    if (!attributes.empty()) text += (text.empty() ? "{" : " {") + attributes + "}";
    return text.empty() ? "" : "  # " + text;
  }

  std::string invocation_text(ScopeId scope, uint32_t call) const {
    const std::string& path = graph_.scope(scope).path;
    std::string text = path.empty() ? "" : name_text(path);
    if (call != 0) text += "@" + std::to_string(call);
    return text;
  }

  void outputs(const char* mode, const std::vector<Output>& outputs, const TreeSpec& tree) {
    std::string text = std::string(mode) + ": (";
    text += joined(outputs, [this](const Output& output) {
      return (output.name.empty() ? "" : name_text(output.name) + "=") + argument_text(output.value);
    });
    line(text + ") as " + tree_text(tree));
  }

  std::string scope_suffix(ScopeId scope) const {
    return scope == 0 ? "" : "  # " + name_text(graph_.scope(scope).path);
  }

  void state_write(const StateWrite& write) {
    line("write " + name_text(write.buffer) + " = " + value_text(write.value) + " when " + mode_name(write.when) +
         scope_suffix(write.scope));
  }

  void conditions() {
    for (const Range& range : graph_.ranges) {
      line("range " + range.symbol + " = [" + std::to_string(range.min) + ", " + std::to_string(range.max) + "]");
    }
    static constexpr const char* kRelations[] = {"==", "<=", "<", "!="};
    for (const Check& check : graph_.checks) {
      line("check " + check.left.to_string() + " " + kRelations[static_cast<int>(check.relation)] + " " +
           check.right.to_string() + ": " + quote(check.message));
    }
    for (const Assumption& assumption : graph_.assumptions) {
      line("assume " + std::string(mode_name(assumption.when)) + ": " + quote(assumption.text) +
           scope_suffix(assumption.scope));
    }
  }

  void scopes() {
    for (const ScopeOutputs& outputs : graph_.scope_outputs) {
      const std::string at = invocation_text(outputs.scope, outputs.call);
      line("values " + (at.empty() ? "" : at + " ") + "= (" +
           joined(outputs.values, [this](ValueId value) { return value_text(value); }) + ")");
    }
    std::map<std::string, std::string> types;  // by path: the table's order has no meaning
    for (const Scope& scope : graph_.scopes()) types.emplace(scope.path, scope.type);
    for (const auto& [path, type] : types) {
      if (path.empty() && type.empty()) continue;
      line("scope" + (path.empty() ? "" : " " + name_text(path)) + (type.empty() ? "" : ": " + quote(type)));
    }
  }

  const Graph& graph_;
  const ParameterLayout layout_;
  std::map<std::string, std::string> parameter_values_;
  std::string text_;
};

}  // namespace

std::string print(const Graph& graph) { return Printer(graph).print(); }

}  // namespace limbeck::graph
