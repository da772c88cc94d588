#include "limbeck/graph/lmb.h"

#include <ATen/ATen.h>
#include <ATen/core/function_schema.h>
#include <fmt/ostream.h>

#include <map>
#include <sstream>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/core/files/safetensors.h"
#include "limbeck/core/json/json.h"
#include "limbeck/graph/parameter_layout.h"
#include "limbeck/graph/text/text.h"
#include "limbeck/graph/text/text_reader.h"
#include "limbeck/graph/verify.h"
#include "limbeck/graph/weights/tensors.h"

namespace limbeck::graph {

namespace {

// Metadata keys. A value is a JSON text: {"format_version", "text", "schemas"} under the first, whatever the writer
// gave under others.
constexpr const char* kGraphKey = "limbeck.graph";
constexpr const char* kVersionKey = "format_version";
constexpr const char* kBlockPrefix = "limbeck.block.";  // tensors that hold overlapping parameters

std::string schema_text(const OpInfo& op) {
  std::ostringstream text;
  text << *op.schema;
  return text.str();
}

core::Json schemas_of(const Graph& graph) {
  std::map<std::string, std::string> texts;
  for (const NodeId id : graph.order()) {
    const OpInfo& op = *graph.node(id).op;
    texts.try_emplace(op.name, schema_text(op));
  }
  core::Json schemas = core::Json::object();
  for (const auto& [name, text] : texts) schemas[name] = text;
  return schemas;
}

/// Bytes of a block of overlapping parameters, as a tensor over their storage.
at::Tensor block_tensor(const Graph& graph, const ParameterLayout& layout, std::size_t block) {
  for (std::size_t i = 0; i < layout.places.size(); ++i) {
    if (layout.places[i].block != block) continue;
    const at::Tensor& member = graph.parameters()[i].tensor;
    const auto* storage = static_cast<const char*>(member.storage().data());
    const int64_t offset = static_cast<const char*>(layout.blocks[block].begin) - storage;
    return at::empty({0}, at::TensorOptions().dtype(at::kByte).device(member.device()))
        .set_(member.storage(), offset, {layout.blocks[block].num_bytes}, {1});
  }
  fail<InternalError>("[lmb] block {} has no member", block);
}

std::vector<weights::NamedTensor> tensors_of(const Graph& graph) {
  const ParameterLayout layout = layout_of_parameters(graph);
  std::vector<weights::NamedTensor> tensors;
  for (std::size_t block = 0; block < layout.blocks.size(); ++block) {
    tensors.push_back({kBlockPrefix + std::to_string(block), block_tensor(graph, layout, block)});
  }
  for (std::size_t i = 0; i < layout.places.size(); ++i) {
    const Parameter& parameter = graph.parameters()[i];
    if (layout.places[i].tied_to || layout.places[i].block) continue;
    LIMBECK_CHECK(!parameter.name.starts_with(kBlockPrefix), "[lmb] the parameter name '{}' is reserved",
                  parameter.name);
    tensors.push_back({parameter.name, parameter.tensor.detach()});
  }
  return tensors;
}

/// Reads one file's graph. What is wrong with the file is an IoError, whoever finds it.
class LmbReader {
 public:
  explicit LmbReader(const std::filesystem::path& path)
      : path_(path.string()), file_(core::SafetensorsFile::open(path)) {}

  Graph read() {
    const core::Json header = header_json();
    const core::JsonView view(header, name_);
    check_version(view);
    check_schemas(view["schemas"]);
    Graph graph = parse_graph(view["text"].as_string());
    if (const std::vector<std::string> faults = find_faults(graph); !faults.empty()) {
      fail<IoError>("[lmb] {} holds an unsound graph: {}", path_, faults.front());
    }
    return graph;
  }

 private:
  core::Json header_json() const {
    const auto found = file_.metadata().find(kGraphKey);
    if (found == file_.metadata().end()) {
      fail<IoError>("[lmb] {} is a safetensors file without a graph (no metadata key '{}')", path_, kGraphKey);
    }
    return core::parse_json(found->second, name_);
  }

  void check_version(const core::JsonView& view) const {
    const int64_t version = view[kVersionKey].as_int();
    if (version > kLmbFormatVersion) {
      fail<Unsupported>("[lmb] {} has format version {}; this Limbeck reads up to {}. Use a newer Limbeck.", path_,
                        version, kLmbFormatVersion);
    }
    if (version < 1) view[kVersionKey].fail("must be at least 1");
  }

  /// An op whose schema changed since the file was written would be called with arguments in wrong slots.
  void check_schemas(const core::JsonView& schemas) const {
    for (const auto& [name, text] : schemas.members()) {
      const OpInfo* op = find_op(name);
      if (op == nullptr) {
        fail<Unsupported>("[lmb] {} uses the op '{}', which neither this libtorch nor Limbeck has", path_, name);
      }
      if (const std::string ours = schema_text(*op); ours != text.as_string()) {
        fail<Unsupported>("[lmb] {} was written for {}, but this libtorch has {}", path_, text.as_string(), ours);
      }
    }
  }

  Graph parse_graph(const std::string& text) const {
    TextSources sources;
    sources.block = [this](std::size_t index, int64_t num_bytes) { return block(index, num_bytes); };
    sources.tensor = [this](const ParameterLine& line) { return tensor(line); };
    try {
      return parse_text(text, sources);
    } catch (const InvalidArgument& error) {
      fail<IoError>("[lmb] {}: the graph's text is damaged: {}", path_, error.what());
    }
  }

  const core::StoredTensor& stored(const std::string& name) const {
    const core::StoredTensor* found = file_.find(name);
    if (found == nullptr) fail<IoError>("[lmb] {} has no tensor '{}', which its graph uses", path_, name);
    return *found;
  }

  at::Tensor block(std::size_t index, int64_t num_bytes) const {
    const std::string name = kBlockPrefix + std::to_string(index);
    at::Tensor tensor = weights::tensor_of(stored(name), file_.mapping());
    if (tensor.scalar_type() != at::kByte || tensor.dim() != 1 || tensor.numel() != num_bytes) {
      fail<IoError>("[lmb] {}: '{}' does not hold {} bytes", path_, name, num_bytes);
    }
    return tensor;
  }

  at::Tensor tensor(const ParameterLine& line) const {
    at::Tensor tensor = weights::tensor_of(stored(line.name), file_.mapping());
    if (tensor.scalar_type() != line.type.dtype ||
        Sizes(tensor.sizes().begin(), tensor.sizes().end()) != *line.type.sizes) {
      fail<IoError>("[lmb] {}: tensor '{}' is not what the graph says", path_, line.name);
    }
    return line.type.strides ? with_strides(tensor, line) : tensor;
  }

  /// Files are row-major; channels-last weights get their order back. The strides must be those of a permutation.
  at::Tensor with_strides(const at::Tensor& tensor, const ParameterLine& line) const {
    std::vector<int64_t> strides;
    for (const IntExpr& stride : *line.type.strides) strides.push_back(*stride.constant());
    const auto bytes = extent_bytes(tensor.sizes().vec(), strides, tensor.element_size());
    if (!bytes || *bytes != tensor.numel() * tensor.element_size()) return tensor;
    return at::empty_strided(tensor.sizes(), strides, tensor.options()).copy_(tensor);
  }

  std::string path_;
  std::string name_ = "[lmb] graph";
  core::SafetensorsFile file_;
};

}  // namespace

void save_lmb(const Graph& graph, const std::filesystem::path& path, const std::map<std::string, std::string>& extra) {
  verify(graph, "before it is saved");
  core::Json header = core::Json::object();
  header[kVersionKey] = kLmbFormatVersion;
  header["schemas"] = schemas_of(graph);
  header["text"] = print(graph);
  core::Metadata metadata(extra.begin(), extra.end());
  LIMBECK_CHECK(metadata.emplace(kGraphKey, header.dump()).second, "[lmb] the metadata key '{}' is reserved",
                kGraphKey);
  weights::write_tensors(path, tensors_of(graph), std::move(metadata));
}

Graph load_lmb(const std::filesystem::path& path) { return LmbReader(path).read(); }

bool is_lmb(const std::filesystem::path& path) {
  return core::SafetensorsFile::open(path).metadata().count(kGraphKey) != 0;
}

}  // namespace limbeck::graph
