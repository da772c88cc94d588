// A torch.export program as its file holds it: plain structs, names still strings, nothing resolved. The format is
// torch/_export/serde/schema.py, schema version 8.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Layout.h>
#include <c10/core/MemoryFormat.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "limbeck/graph/int_expr.h"
#include "limbeck/graph/value.h"

namespace limbeck::core {
class JsonView;
}

namespace limbeck::capture {

struct ProgramGraph;

/// A tensor, symbolic int, bool or float of the program, by name.
struct TensorName {
  std::string name;
};
struct SymbolName {
  std::string name;
};
struct CustomObject {
  std::string name;
  std::string type;
};

/// What the file has as an argument of a node, an input or an output.
struct ProgramArgument;
using ProgramArguments = std::vector<ProgramArgument>;
struct ProgramArgument {
  std::variant<std::monostate, TensorName, SymbolName, int64_t, double, bool, std::string, at::ScalarType, at::Device,
               at::Layout, at::MemoryFormat, ProgramArguments, std::shared_ptr<const ProgramGraph>, CustomObject>
      kind;

  const std::string* tensor() const {
    const auto* name = std::get_if<TensorName>(&kind);
    return name == nullptr ? nullptr : &name->name;
  }
  const std::string* symbol() const {
    const auto* name = std::get_if<SymbolName>(&kind);
    return name == nullptr ? nullptr : &name->name;
  }
};

struct NamedProgramArgument {
  std::string name;
  ProgramArgument value;
};

/// One entry of nn_module_stack.
struct ModuleCall {
  std::string path;   // "layer1.0.relu"; "" for the root
  std::string type;   // "torch.nn.modules.activation.ReLU"
  uint32_t call = 0;  // 1 for the second use, and so on
};

struct ProgramNode {
  std::string target;  // "torch.ops.aten.conv2d.default", "_operator.mul"
  std::vector<NamedProgramArgument> inputs{};
  ProgramArguments outputs{};
  std::vector<ModuleCall> modules{};  // outermost first
  std::string stack_trace{};
};

struct ProgramGraph {
  ProgramArguments inputs;
  ProgramArguments outputs;
  std::vector<ProgramNode> nodes;
  std::unordered_map<std::string, graph::TensorType> tensors;  // sizes and strides where the file has them
  std::unordered_map<std::string, graph::IntExpr> ints;
  graph::Bindings hints;  // example values of symbols
};

struct ProgramInput {
  enum class Kind : uint8_t { user, parameter, buffer, tensor_constant, constant, custom_object, token };
  Kind kind = Kind::user;
  ProgramArgument value;  // of user inputs; a TensorName for parameters, buffers and constants
  std::string target;     // name of the parameter, buffer or constant
  bool is_persistent = true;
};

struct ProgramOutput {
  enum class Kind : uint8_t { user, buffer_mutation, parameter_mutation, input_mutation };
  Kind kind = Kind::user;
  ProgramArgument value;
  std::string target;  // of a mutation
};

struct SymbolRange {
  std::optional<int64_t> min, max;
};

struct ExportProgram {
  std::string name;  // of the model in its archive
  std::string torch_version;
  ProgramGraph graph;
  std::vector<ProgramInput> inputs{};
  std::vector<ProgramOutput> outputs{};
  std::string input_tree{}, output_tree{};  // pytree specs, JSON text
  std::map<std::string, std::vector<std::string>> namedtuple_fields{};
  std::map<std::string, SymbolRange> ranges{};
  std::vector<std::string> guards{};
  bool is_decomposed = false;          // core ATen instead of the training dialect
  std::vector<std::string> modules{};  // paths of all modules, also of those that left no node
};

/// Limits on what a file may claim.
inline constexpr std::size_t kMaxModelJsonBytes = std::size_t{256} << 20;
inline constexpr int kMaxProgramDepth = 8;  // of graphs inside graphs
inline constexpr std::size_t kMaxTensorRank = 64;

/// Reads models/NAME.json. Throws IoError naming the JSON path of what is malformed, Unsupported for a schema version
/// that this reader does not know.
ExportProgram parse_program(std::string_view json, const std::string& name);

/// A payload's entry in a weights or constants config.
struct Payload {
  std::string name;  // of the parameter, buffer or constant
  std::string record;
  bool is_parameter = false;
  bool use_pickle = false;
  std::optional<graph::TensorType> type;  // constant sizes and strides
  int64_t storage_offset = 0;             // elements
};
std::vector<Payload> parse_payloads(std::string_view json, const std::string& source);

}  // namespace limbeck::capture
