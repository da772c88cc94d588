// JSON to the structs of program.h. Every kind, index and enumeration is checked; nothing here allocates more than the
// text's own size times a constant.
#include <algorithm>
#include <charconv>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"
#include "limbeck/graph/capture/pt2/program.h"
#include "limbeck/graph/capture/pt2/sympy.h"

namespace limbeck::capture {

using core::JsonView;
using graph::IntExpr;
using graph::TensorType;

namespace {

/// torch/_export/serde/schema.py, ScalarType.
at::ScalarType scalar_type(const JsonView& json) {
  switch (json.as_int()) {
    case 1:
      return at::kByte;
    case 2:
      return at::kChar;
    case 3:
      return at::kShort;
    case 4:
      return at::kInt;
    case 5:
      return at::kLong;
    case 6:
      return at::kHalf;
    case 7:
      return at::kFloat;
    case 8:
      return at::kDouble;
    case 9:
      return at::kComplexHalf;
    case 10:
      return at::kComplexFloat;
    case 11:
      return at::kComplexDouble;
    case 12:
      return at::kBool;
    case 13:
      return at::kBFloat16;
    case 28:
      return at::kUInt16;
    case 29:
      return at::kFloat8_e4m3fn;
    case 30:
      return at::kFloat8_e5m2;
    case 31:
      return at::kFloat8_e4m3fnuz;
    case 32:
      return at::kFloat8_e5m2fnuz;
    case 34:
      return at::kUInt32;
    case 35:
      return at::kUInt64;
    default:
      json.fail("must be an element type that torch.export writes");
  }
}

at::Layout layout(const JsonView& json) {
  static constexpr at::Layout kLayouts[] = {at::kSparse,    at::kSparseCsr, at::kSparseCsc, at::kSparseBsr,
                                            at::kSparseBsc, at::kMkldnn,    at::kStrided};
  return kLayouts[json.as_int(1, 7) - 1];
}

at::MemoryFormat memory_format(const JsonView& json) {
  static constexpr at::MemoryFormat kFormats[] = {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast,
                                                  at::MemoryFormat::ChannelsLast3d, at::MemoryFormat::Preserve};
  return kFormats[json.as_int(1, 4) - 1];
}

at::Device device(const JsonView& json) {
  static constexpr std::pair<std::string_view, c10::DeviceType> kTypes[] = {
      {"cpu", c10::DeviceType::CPU}, {"cuda", c10::DeviceType::CUDA}, {"xpu", c10::DeviceType::XPU},
      {"mps", c10::DeviceType::MPS}, {"meta", c10::DeviceType::Meta}, {"hpu", c10::DeviceType::HPU}};
  const std::string& type = json["type"].as_string();
  for (const auto& [name, value] : kTypes) {
    if (name != type) continue;
    const auto index = json.get("index");
    const bool is_indexed = index && value != c10::DeviceType::CPU && value != c10::DeviceType::Meta;
    return {value, static_cast<at::DeviceIndex>(is_indexed ? index->as_int(0, 127) : -1)};
  }
  json["type"].fail("must be a device that Limbeck knows");
}

/// SymInt: {"as_int": 3} or {"as_expr": {"expr_str": "...", "hint": {"as_int": 3}}}.
IntExpr sym_int(const JsonView& json, graph::Bindings& hints) {
  if (const auto number = json.get("as_int")) return number->as_int();
  const JsonView expr = json["as_expr"];
  const IntExpr value = parse_sympy(expr["expr_str"].as_string());
  const auto name = value.symbol_name();
  const auto hint = expr.get("hint");
  if (name && hint) {
    if (const auto number = hint->get("as_int")) hints.emplace(*name, number->as_int());
  }
  return value;
}

graph::Sizes sym_ints(const JsonView& json, graph::Bindings& hints) {
  graph::Sizes sizes;
  for (const JsonView& element : json.elements()) sizes.push_back(sym_int(element, hints));
  if (sizes.size() > kMaxTensorRank) json.fail("must have at most 64 dimensions");
  return sizes;
}

TensorType tensor_type(const JsonView& json, graph::Bindings& hints) {
  return {.dtype = scalar_type(json["dtype"]),
          .sizes = sym_ints(json["sizes"], hints),
          .strides = sym_ints(json["strides"], hints),
          .device = device(json["device"]),
          .requires_grad = json["requires_grad"].as_bool()};
}

/// The one member of a union that is present: torch writes {"as_int": 3}.
std::pair<std::string_view, JsonView> union_member(const JsonView& json) {
  const auto members = json.members();
  if (members.size() != 1) json.fail("must have exactly one member");
  return members.front();
}

class ProgramReader {
 public:
  ProgramGraph read_graph(const JsonView& json, int depth) {
    if (depth > kMaxProgramDepth) json.fail("must not nest graphs deeper than 8");
    ProgramGraph result;
    for (const auto& [name, type] : json["tensor_values"].members())
      result.tensors.emplace(name, tensor_type(type, result.hints));
    for (const auto& [name, value] : json["sym_int_values"].members())
      result.ints.emplace(name, sym_int(value, result.hints));
    result.inputs = read_arguments(json["inputs"], depth);
    for (const JsonView& node : json["nodes"].elements()) result.nodes.push_back(read_node(node, depth));
    result.outputs = read_arguments(json["outputs"], depth);
    return result;
  }

  ProgramArgument read_argument(const JsonView& json, int depth) {
    const auto [kind, value] = union_member(json);
    if (kind == "as_none") return {};
    if (kind == "as_tensor") return {TensorName{value["name"].as_string()}};
    if (kind == "as_int") return {value.as_int()};
    if (kind == "as_float") return {value.as_extended_double()};
    if (kind == "as_bool") return {value.as_bool()};
    if (kind == "as_string" || kind == "as_operator") return {value.as_string()};
    if (kind == "as_scalar_type") return {scalar_type(value)};
    if (kind == "as_device") return {device(value)};
    if (kind == "as_layout") return {layout(value)};
    if (kind == "as_memory_format") return {memory_format(value)};
    if (kind == "as_name") return {SymbolName{value.as_string()}};
    if (kind == "as_sym_int" || kind == "as_sym_bool" || kind == "as_sym_float" || kind == "as_optional_tensor")
      return read_argument(value, depth);
    if (kind == "as_custom_obj") return {CustomObject{value["name"].as_string(), value["class_fqn"].as_string()}};
    if (kind == "as_graph") return {std::make_shared<const ProgramGraph>(read_graph(value["graph"], depth + 1))};
    return {read_list(kind, value, depth)};
  }

 private:
  ProgramArguments read_list(std::string_view kind, const JsonView& json, int depth) {
    ProgramArguments list;
    for (const JsonView& element : json.elements()) list.push_back(read_element(kind, element, depth));
    return list;
  }

  ProgramArgument read_element(std::string_view kind, const JsonView& json, int depth) {
    if (kind == "as_tensors") return {TensorName{json["name"].as_string()}};
    if (kind == "as_ints") return {json.as_int()};
    if (kind == "as_floats") return {json.as_extended_double()};
    if (kind == "as_bools") return {json.as_bool()};
    if (kind == "as_strings") return {json.as_string()};
    if (kind == "as_sym_ints" || kind == "as_sym_bools" || kind == "as_sym_floats" || kind == "as_optional_tensors")
      return read_argument(json, depth);
    if (kind == "as_nested_tensors") return {read_list("as_tensors", json, depth)};
    if (kind == "as_int_lists") return {read_list("as_ints", json, depth)};
    if (kind == "as_float_lists") return {read_list("as_floats", json, depth)};
    fail<Unsupported>("[capture] {} is an argument of kind '{}', which this version does not read", json.path(), kind);
  }

  ProgramArguments read_arguments(const JsonView& json, int depth) {
    ProgramArguments list;
    for (const JsonView& element : json.elements()) list.push_back(read_argument(element, depth));
    return list;
  }

  ProgramNode read_node(const JsonView& json, int depth) {
    ProgramNode node{.target = json["target"].as_string()};
    for (const JsonView& input : json["inputs"].elements())
      node.inputs.push_back({input["name"].as_string(), read_argument(input["arg"], depth)});
    node.outputs = read_arguments(json["outputs"], depth);
    if (const auto trace = json["metadata"].get("stack_trace")) node.stack_trace = trace->as_string();
    if (const auto stack = json["metadata"].get("nn_module_stack")) node.modules = read_modules(stack->as_string());
    return node;
  }

  /// "L__self__,,ResNet;L__self__layer1.0.relu@1,layer1.0.relu,torch.nn.modules.activation.ReLU"
  static std::vector<ModuleCall> read_modules(std::string_view text) {
    std::vector<ModuleCall> modules;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find(';'), text.size());
      const std::string_view entry = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      const std::size_t first = entry.find(','), second = entry.find(',', first + 1);
      if (first == std::string_view::npos || second == std::string_view::npos) continue;
      const std::string_view key = entry.substr(0, first);
      if (key.substr(0, 6) == "_empty") continue;  // sizes that the exporter itself asked for
      modules.push_back({.path = module_path(entry.substr(first + 1, second - first - 1)),
                         .type = std::string(entry.substr(second + 1)),
                         .call = call_number(key)});
    }
    return modules;
  }

  /// Strict exports write "L['self'].layer1" where others write "layer1".
  static std::string module_path(std::string_view text) {
    constexpr std::string_view kRoot = "L['self']";
    if (text.substr(0, kRoot.size()) == kRoot) text.remove_prefix(kRoot.size());
    if (!text.empty() && text.front() == '.') text.remove_prefix(1);
    return std::string(text);
  }

  static uint32_t call_number(std::string_view key) {
    const std::size_t mark = key.rfind('@');
    uint32_t call = 0;
    if (mark != std::string_view::npos) std::from_chars(key.data() + mark + 1, key.data() + key.size(), call);
    return call;
  }
};

ProgramInput read_input(ProgramReader& reader, const JsonView& json) {
  using Kind = ProgramInput::Kind;
  const auto [kind, spec] = union_member(json);
  if (kind == "user_input") return {.kind = Kind::user, .value = reader.read_argument(spec["arg"], 0), .target = {}};
  if (kind == "constant_input")
    return {
        .kind = Kind::constant, .value = reader.read_argument(spec["value"], 0), .target = spec["name"].as_string()};
  if (kind == "token") return {.kind = Kind::token, .value = {}, .target = {}};
  ProgramInput input{.value = {TensorName{spec["arg"]["name"].as_string()}}, .target = {}};
  if (kind == "parameter") {
    input.kind = Kind::parameter;
    input.target = spec["parameter_name"].as_string();
  } else if (kind == "buffer") {
    input.kind = Kind::buffer;
    input.target = spec["buffer_name"].as_string();
    input.is_persistent = spec["persistent"].as_bool();
  } else if (kind == "tensor_constant") {
    input.kind = Kind::tensor_constant;
    input.target = spec["tensor_constant_name"].as_string();
  } else if (kind == "custom_obj") {
    input.kind = Kind::custom_object;
    input.target = spec["custom_obj_name"].as_string();
  } else {
    json.fail("must be an input of a known kind");
  }
  return input;
}

ProgramOutput read_output(ProgramReader& reader, const JsonView& json) {
  using Kind = ProgramOutput::Kind;
  const auto [kind, spec] = union_member(json);
  if (kind == "user_output") return {.kind = Kind::user, .value = reader.read_argument(spec["arg"], 0), .target = {}};
  ProgramOutput output{.value = {TensorName{spec["arg"]["name"].as_string()}}, .target = {}};
  if (kind == "buffer_mutation") {
    output.kind = Kind::buffer_mutation;
    output.target = spec["buffer_name"].as_string();
  } else if (kind == "parameter_mutation") {
    output.kind = Kind::parameter_mutation;
    output.target = spec["parameter_name"].as_string();
  } else if (kind == "user_input_mutation") {
    output.kind = Kind::input_mutation;
    output.target = spec["user_input_name"].as_string();
  } else {
    fail<Unsupported>("[capture] {} is an output of kind '{}': export the model itself, not its loss or backward",
                      json.path(), kind);
  }
  return output;
}

void check_version(const JsonView& program) {
  const int64_t major = program["schema_version"]["major"].as_int();
  if (major != 8) {
    fail<Unsupported>("[capture] the file has torch.export schema {}, this version reads 8 (torch 2.6 to 2.13)", major);
  }
}

}  // namespace

ExportProgram parse_program(std::string_view text, const std::string& name) {
  const core::Json document = core::parse_json(text, name + ".json", {.max_bytes = kMaxModelJsonBytes});
  const std::string where = "[capture] " + name;
  const JsonView program(document, where);
  check_version(program);
  ProgramReader reader;
  const JsonView module = program["graph_module"];
  ExportProgram result{.name = name, .torch_version = {}, .graph = reader.read_graph(module["graph"], 0)};
  if (const auto version = program.get("torch_version")) result.torch_version = version->as_string();
  for (const JsonView& input : module["signature"]["input_specs"].elements())
    result.inputs.push_back(read_input(reader, input));
  for (const JsonView& output : module["signature"]["output_specs"].elements())
    result.outputs.push_back(read_output(reader, output));
  const auto calls = module["module_call_graph"].elements();
  if (!calls.empty() && calls.front().has("signature")) {
    result.input_tree = calls.front()["signature"]["in_spec"].as_string();
    result.output_tree = calls.front()["signature"]["out_spec"].as_string();
  }
  for (const JsonView& call : calls) result.modules.push_back(call["fqn"].as_string());
  if (const auto fields = module.get("treespec_namedtuple_fields")) {
    for (const auto& [type, definition] : fields->members())
      result.namedtuple_fields.emplace(type, definition["field_names"].as_strings());
  }
  for (const auto& [symbol, range] : program["range_constraints"].members()) {
    SymbolRange limits;
    if (const auto low = range.get("min_val")) limits.min = low->as_int();
    if (const auto high = range.get("max_val")) limits.max = high->as_int();
    result.ranges.emplace(symbol, limits);
  }
  if (const auto verifiers = program.get("verifiers")) {
    const std::vector<std::string> names = verifiers->as_strings();
    result.is_decomposed = !names.empty() && std::find(names.begin(), names.end(), "TRAINING") == names.end();
  }
  if (const auto guards = program.get("guards_code")) result.guards = guards->as_strings();
  return result;
}

std::vector<Payload> parse_payloads(std::string_view text, const std::string& source) {
  const core::Json document = core::parse_json(text, source, {.max_bytes = kMaxModelJsonBytes});
  const std::string where = "[capture] " + source;
  std::vector<Payload> payloads;
  for (const auto& [name, json] : JsonView(document, where)["config"].members()) {
    Payload payload{.name = std::string(name), .record = json["path_name"].as_string(), .type = {}};
    payload.is_parameter = json["is_param"].as_bool();
    payload.use_pickle = json["use_pickle"].as_bool();
    if (const auto meta = json.get("tensor_meta")) {
      graph::Bindings hints;
      payload.type = tensor_type(*meta, hints);
      const auto offset = sym_int((*meta)["storage_offset"], hints).constant();
      if (!offset || *offset < 0) (*meta)["storage_offset"].fail("must be a number of elements");
      payload.storage_offset = *offset;
    }
    payloads.push_back(std::move(payload));
  }
  return payloads;
}

}  // namespace limbeck::capture
