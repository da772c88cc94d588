#include "limbeck/graph/weights/state_dict.h"

#include <ATen/ATen.h>

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "limbeck/core/error.h"
#include "limbeck/core/utf8.h"
#include "limbeck/graph/weights/pth.h"
#include "limbeck/graph/weights/tensors.h"
#include "limbeck/graph/weights/zip_directory.h"

namespace limbeck::weights {
namespace {

/// Keys under which checkpoints keep the model's weights, most telling first.
constexpr std::array<std::string_view, 8> kNestingKeys = {"model_state_dict", "state_dict", "model",   "net",
                                                          "network",          "module",     "weights", "params"};
/// Prefixes that wrappers put before every name.
constexpr std::array<std::string_view, 2> kWrapperPrefixes = {"module.", "_orig_mod."};
/// {'model': {'state_dict': ...}} is two; nothing sensible nests deeper.
constexpr int kMaxNesting = 4;
/// Characters of a parameter's name.
constexpr std::size_t kMaxNameLength = 1024;

bool is_extra_state(std::string_view name) { return name == "_extra_state" || name.ends_with("._extra_state"); }

/// A dict of tensors under string keys; modules may add `_extra_state` of any kind.
bool is_state_dict(const PickleDict& dict) {
  return std::all_of(dict.entries.begin(), dict.entries.end(), [](const auto& entry) {
    const std::string* name = text_of(*entry.first);
    return name != nullptr && (entry.second->template is<TensorRef>() || is_extra_state(*name));
  });
}

[[noreturn]] void refuse_module(const std::string& where, const std::string& key, const std::string& module) {
  fail<Unsupported>(
      "[weights] {}: {} a whole pickled nn.Module (class {}), which only its Python code can rebuild. In "
      "Python save its weights with torch.save(model.state_dict(), 'weights.pth'), or export it: "
      "`limbeck capture --python` prints how",
      where, key.empty() ? "this is" : "'" + core::printable(key) + "' is", core::printable(module));
}

std::string list_of_keys(const PickleDict& dict) {
  constexpr std::size_t kMaxListed = 20;
  std::vector<std::string> lines;
  for (const auto& [key, value] : dict.entries) {
    if (lines.size() == kMaxListed) {
      lines.emplace_back("...");
      break;
    }
    const std::string* name = text_of(*key);
    lines.push_back(
        fmt::format("'{}' ({})", name == nullptr ? describe(*key) : core::printable(*name), describe(*value)));
  }
  return fmt::format("{}", fmt::join(lines, ", "));
}

struct Found {
  const PickleDict* dict = nullptr;
  std::string key;
};

std::string joined(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : path + "." + std::string(key);
}

/// `value` itself, or what stands under the first nesting key that leads to a state dict.
Found search(const PickleValue& value, const std::string& where, const std::string& path, int depth) {
  if (const auto module = module_class(value)) refuse_module(where, path, *module);
  const auto* dict = value.get_if<PickleDict>();
  if (dict == nullptr || depth > kMaxNesting) return {};
  if (is_state_dict(*dict)) return {dict, path};
  for (const std::string_view key : kNestingKeys) {
    const PicklePtr inner = find_string(*dict, key);
    if (inner == nullptr) continue;
    Found found = search(*inner, where, joined(path, key), depth + 1);
    if (found.dict != nullptr) return found;
  }
  return {};
}

/// The value at a dotted key. A part may itself hold dots: the longest one that is there wins.
PicklePtr descend(const PickleValue& value, std::string_view key) {
  if (key.empty()) return &value;
  const auto* dict = value.get_if<PickleDict>();
  if (dict == nullptr) return nullptr;
  for (std::size_t end = key.size(); end != 0 && end != std::string_view::npos;
       end = end == 0 ? end : key.rfind('.', end - 1)) {
    const PicklePtr inner = find_string(*dict, key.substr(0, end));
    if (inner == nullptr) continue;
    const PicklePtr found = descend(*inner, end == key.size() ? std::string_view() : key.substr(end + 1));
    if (found != nullptr) return found;
  }
  return nullptr;
}

Found find_dict(const PickleArchive& archive, const std::string& key) {
  const PicklePtr start = descend(archive.root(), key);
  const auto* top = archive.root().get_if<PickleDict>();
  const std::string content = top == nullptr ? describe(archive.root()) : list_of_keys(*top);
  if (start == nullptr)
    fail<InvalidArgument>("[weights] {}: nothing under '{}'. The file has {}", archive.where(), key, content);
  Found found = search(*start, archive.where(), key, 0);
  if (found.dict == nullptr) {
    fail<InvalidArgument>("[weights] {}: no state dict found. The file has {}. Name where it stands with `key`",
                          archive.where(), content);
  }
  return found;
}

/// torch.optim.swa_utils.AveragedModel puts a counter of its own beside the model that it wraps as `module.`.
void drop_average_counter(StateDict& state) {
  constexpr std::string_view kCounter = "n_averaged";
  const auto counter = std::find_if(state.tensors.begin(), state.tensors.end(),
                                    [&](const NamedTensor& entry) { return entry.name == kCounter; });
  const bool wraps = counter != state.tensors.end() && state.tensors.size() > 1 &&
                     std::all_of(state.tensors.begin(), state.tensors.end(), [&](const NamedTensor& entry) {
                       return entry.name == kCounter || entry.name.starts_with("module.");
                     });
  if (!wraps) return;
  state.skipped.emplace_back(kCounter);
  state.tensors.erase(counter);
}

/// Strips what all names begin with, again and again: `_orig_mod.module.` is two wrappers.
void strip_prefixes(StateDict& state) {
  drop_average_counter(state);
  for (bool again = !state.tensors.empty(); again;) {
    again = false;
    for (const std::string_view prefix : kWrapperPrefixes) {
      const bool all = std::all_of(state.tensors.begin(), state.tensors.end(), [&](const NamedTensor& entry) {
        return entry.name.size() > prefix.size() && entry.name.starts_with(prefix);
      });
      if (!all) continue;
      for (NamedTensor& entry : state.tensors) entry.name.erase(0, prefix.size());
      state.stripped_prefix += prefix;
      again = true;
    }
  }
}

StateDict load_safetensors(const std::string& path) {
  StateDict state;
  state.source = path;
  state.tensors = read_tensors(core::SafetensorsFile::open(path));
  return state;
}

struct Magic {
  std::string_view bytes;
  std::string_view what;
};

constexpr Magic kForeign[] = {
    {"\x89HDF\r\n", "an HDF5 file (Keras)"},
    {"GGUF", "a GGUF file"},
    {"\x93NUMPY", "a NumPy array"},
    {"\x08", "perhaps an ONNX model"},
    {"\x1f\x8b", "gzip"},
    {"\x80", "a Python pickle without torch.save's header"},
};

[[noreturn]] void refuse_foreign(const std::string& path, std::string_view begin) {
  std::string_view what = "of an unknown format";
  for (const Magic& magic : kForeign) {
    if (begin.starts_with(magic.bytes)) {
      what = magic.what;
      break;
    }
  }
  fail<Unsupported>(
      "[weights] {}: no weights file that is known, but {}. Expected: .pth of torch.save, safetensors, .lmb", path,
      what);
}

}  // namespace

const at::Tensor* StateDict::find(std::string_view name) const {
  for (const NamedTensor& entry : tensors) {
    if (entry.name == name) return &entry.tensor;
  }
  return nullptr;
}

StateDict find_state_dict(const PickleArchive& archive, const LoadOptions& options) {
  const Found found = find_dict(archive, options.key);
  StateDict state;
  state.source = archive.where();
  state.key = found.key;
  std::unordered_map<std::string_view, std::size_t> index;
  for (const auto& [key, value] : found.dict->entries) {
    const std::string& name = *text_of(*key);
    if (name.size() > kMaxNameLength || !core::is_utf8(name)) {
      fail<IoError>("[weights] {}: the name '{}' is not UTF-8 or too long", archive.where(), core::printable(name));
    }
    const auto* reference = value->get_if<TensorRef>();
    if (reference == nullptr) {
      state.skipped.push_back(name);
      continue;
    }
    at::Tensor tensor = archive.tensor(*reference);
    const auto [at, fresh] = index.emplace(name, state.tensors.size());
    if (fresh) {
      state.tensors.push_back({name, std::move(tensor)});
    } else {
      state.tensors[at->second].tensor = std::move(tensor);  // a repeated key: the last one wins, as in Python
    }
  }
  if (options.strip_prefixes) strip_prefixes(state);
  return state;
}

StateDict load_state_dict(const std::string& path, const LoadOptions& options) {
  const SharedBytes file = map_file(path);
  if (file.bytes.empty()) fail<IoError>("[weights] {}: the file is empty", path);
  if (looks_like_zip(file.bytes) || looks_like_legacy_pickle(file.bytes)) {
    return find_state_dict(read_pickle_archive(file, path), options);
  }
  if (!core::looks_like_safetensors(file.bytes)) {
    refuse_foreign(path, {reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size()});
  }
  LIMBECK_CHECK(options.key.empty(), "[weights] {}: a safetensors file has no key '{}': it is flat", path, options.key);
  StateDict state = load_safetensors(path);
  if (options.strip_prefixes) strip_prefixes(state);
  return state;
}

}  // namespace limbeck::weights
