#include "limbeck/recipe/read.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/overloaded.h"

namespace limbeck::recipe {

namespace {

class Reader {
 public:
  Reader(const YamlDocument& document, const YamlNode& node, std::string key)
      : document_(document), node_(node), key_(std::move(key)) {}

  [[noreturn]] void refuse(std::string_view rule) const {
    const std::string got = node_.kind == YamlNode::Kind::scalar     ? "'" + node_.text + "'"
                            : node_.kind == YamlNode::Kind::sequence ? "a sequence"
                            : node_.kind == YamlNode::Kind::mapping  ? "a mapping"
                                                                     : "nothing";
    fail<InvalidArgument>("{}: '{}' must be {}, got {}", document_.place(node_), key_, rule, got);
  }

  const std::string& text(std::string_view rule) const {
    if (node_.kind != YamlNode::Kind::scalar) refuse(rule);
    return node_.text;
  }

  bool boolean() const {
    const std::string& value = text("true or false");
    if (!node_.is_quoted && value == "true") return true;
    if (!node_.is_quoted && value == "false") return false;
    refuse("true or false");
  }

  template <class T>
  T number(std::string_view rule) const {
    const std::string& value = text(rule);
    T result{};
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
    if (node_.is_quoted || error != std::errc() || end != value.data() + value.size()) refuse(rule);
    if constexpr (std::is_floating_point_v<T>) {
      if (!std::isfinite(result)) refuse(rule);
    }
    return result;
  }
  int64_t integer() const { return number<int64_t>("an integer"); }
  double real() const { return number<double>("a number"); }

  template <class T, class ReadElement>
  std::vector<T> sequence(std::string_view rule, ReadElement read) const {
    if (node_.kind != YamlNode::Kind::sequence) refuse(rule);
    std::vector<T> result;
    for (const YamlNode& element : node_.elements) result.push_back(read(Reader(document_, element, key_)));
    return result;
  }

  /// A sequence, or its only element.
  template <class T, class ReadElement>
  std::vector<T> one_or_more(std::string_view rule, ReadElement read) const {
    if (node_.kind == YamlNode::Kind::scalar) return {read(*this)};
    return sequence<T>(rule, read);
  }

  std::string choice(const Choice& choice) const {
    const std::string rule = fmt::format("one of {}", fmt::join(choice.names, ", "));
    const std::string& value = text(rule);
    if (std::find(choice.names.begin(), choice.names.end(), value) == choice.names.end()) refuse(rule);
    return value;
  }

  /// A value of free-form options as text: scalars as they stand, sequences of them joined by commas.
  std::string free_text() const {
    if (node_.kind != YamlNode::Kind::sequence) return text("a value or a sequence of values");
    return fmt::format("{}",
                       fmt::join(sequence<std::string>("", [](const Reader& r) { return r.text("a value"); }), ","));
  }

  std::map<std::string, std::string> free_form() const {
    if (node_.kind != YamlNode::Kind::mapping) refuse("a mapping");
    std::map<std::string, std::string> result;
    for (const auto& [key, value] : node_.members) result.emplace(key, Reader(document_, value, key).free_text());
    return result;
  }

  void read(const FieldRef& target) const {
    std::visit(core::Overloaded{
                   [this](bool* value) { *value = boolean(); },
                   [this](int64_t* value) { *value = integer(); },
                   [this](uint64_t* value) { *value = number<uint64_t>("an integer of at least 0"); },
                   [this](double* value) { *value = real(); },
                   [this](std::string* value) { *value = text("text"); },
                   [this](std::optional<double>* value) { *value = real(); },
                   [this](std::optional<int64_t>* value) { *value = integer(); },
                   [this](std::vector<int64_t>* v) {
                     *v = sequence<int64_t>("a sequence of integers", [](const Reader& r) { return r.integer(); });
                   },
                   [this](std::vector<double>* v) {
                     *v = sequence<double>("a sequence of numbers", [](const Reader& r) { return r.real(); });
                   },
                   [this](std::vector<std::string>* v) {
                     *v = sequence<std::string>("a sequence of texts", [](const Reader& r) { return r.text("text"); });
                   },
                   [this](const Choice& options) { options.set(choice(options)); },
                   [this](std::map<std::string, std::string>* value) { *value = free_form(); },
                   [this](const OneOrMore<int64_t>& list) {
                     *list.values = one_or_more<int64_t>("an integer or a sequence of integers",
                                                         [](const Reader& r) { return r.integer(); });
                   },
                   [this](const OneOrMore<double>& list) {
                     *list.values = one_or_more<double>("a number or a sequence of numbers",
                                                        [](const Reader& r) { return r.real(); });
                   },
               },
               target);
  }

 private:
  const YamlDocument& document_;
  const YamlNode& node_;
  std::string key_;
};

/// Reads one mapping; knows afterwards which keys its description has.
class MappingReader : public Fields {
 public:
  MappingReader(const YamlDocument& document, const YamlNode& mapping) : document_(document), mapping_(mapping) {}

  void field(const char* key, FieldRef value, const char*) override {
    if (const YamlNode* node = known(key)) Reader(document_, *node, key).read(value);
  }

  void section(const char* key, const char*, const Describe& describe) override {
    if (const YamlNode* node = known(key)) read_fields(document_, *node, describe);
  }

  void list(const char* key, const char*, const List& list) override {
    const YamlNode* node = known(key);
    if (node == nullptr) return;
    if (node->kind != YamlNode::Kind::sequence) Reader(document_, *node, key).refuse("a sequence of mappings");
    list.resize(node->elements.size());
    for (std::size_t i = 0; i < node->elements.size(); ++i) {
      read_fields(document_, node->elements[i], [&](Fields& fields) { list.element(fields, i); });
    }
  }

  void variants(const char* key, const char*, const Variants& variants) override {
    const YamlNode* node = known(key);
    if (node == nullptr) return;
    if (node->kind != YamlNode::Kind::sequence) Reader(document_, *node, key).refuse("a sequence");
    variants.clear();
    for (const YamlNode& element : node->elements) add_variant(key, element, variants);
  }

  void required(const char* key) override { required_.emplace_back(key); }

  void only_for(const char* key, const char* settings, bool has_effect) override {
    const YamlNode* node = mapping_.find(key);
    LIMBECK_CHECK(node == nullptr || has_effect, "{}: '{}' does nothing here: it is there for {}",
                  document_.key_place(*node), key, settings);
  }

  /// Keys that are read elsewhere.
  void allow(const char* key) { known(key); }

  void finish() const {
    for (const auto& [key, value] : mapping_.members) {
      if (std::find(keys_.begin(), keys_.end(), key) != keys_.end()) continue;
      fail<InvalidArgument>("{}: unknown key '{}'.{} Valid: {}", document_.key_place(value), key,
                            nearest_hint(key, keys_), fmt::join(keys_, ", "));
    }
    for (const std::string& key : required_) {
      LIMBECK_CHECK(mapping_.find(key) != nullptr, "{}: key '{}' is missing", document_.place(mapping_), key);
    }
  }

 private:
  void add_variant(const char* key, const YamlNode& element, const Variants& variants) {
    if (element.kind != YamlNode::Kind::mapping || element.members.size() != 1) {
      Reader(document_, element, key).refuse("a sequence of names with options such as `- resize: {size: 256}`");
    }
    const auto& [name, options] = element.members.front();
    LIMBECK_CHECK(std::find(variants.names.begin(), variants.names.end(), name) != variants.names.end(),
                  "{}: unknown name '{}' in '{}'.{} Valid: {}", document_.key_place(options), name, key,
                  nearest_hint(name, variants.names), fmt::join(variants.names, ", "));
    variants.add(name);
    read_fields(document_, options, [&](Fields& fields) { variants.element(fields, variants.size() - 1); });
  }

  const YamlNode* known(const char* key) {
    keys_.emplace_back(key);
    return mapping_.find(key);
  }

  const YamlDocument& document_;
  const YamlNode& mapping_;
  std::vector<std::string> keys_, required_;
};

void check_mapping(const YamlDocument& document, const YamlNode& node, std::string_view what) {
  LIMBECK_CHECK(node.kind == YamlNode::Kind::mapping, "{}: {} must be a mapping of keys to values",
                document.place(node), what);
}

/// Calls `validate` and puts the place in front of what it throws.
void validate_at(const YamlDocument& document, const YamlNode& place, const std::function<void()>& validate) {
  try {
    validate();
  } catch (const InvalidArgument& error) {
    fail<InvalidArgument>("{}: {}", document.place(place), error.what());
  }
}

std::vector<std::pair<std::string, ModelOptions>> read_models(const YamlDocument& document, const YamlNode& node) {
  check_mapping(document, node, "'models'");
  std::vector<std::pair<std::string, ModelOptions>> models;
  for (const auto& [name, value] : node.members) {
    ModelOptions options;
    read_fields(document, value, [&](Fields& fields) { describe(fields, options); });
    LIMBECK_CHECK(options.zoo.empty() != options.file.empty(), "{}: model '{}' needs either 'zoo' or 'file'",
                  document.place(value), name);
    validate_at(document, value, [&] { options.validate(); });
    models.emplace_back(name, std::move(options));
  }
  return models;
}

std::vector<SweepAxis> read_sweep(const YamlDocument& document, const YamlNode& node) {
  if (node.kind == YamlNode::Kind::null) return {};
  check_mapping(document, node, "'sweep'");
  std::vector<SweepAxis> axes;
  for (const auto& [key, values] : node.members) {
    LIMBECK_CHECK(values.kind == YamlNode::Kind::sequence && !values.elements.empty(),
                  "{}: '{}' must be a sequence of values to try, such as [0.1, 0.05]", document.place(values), key);
    SweepAxis axis{.key = key, .values = {}};
    for (const YamlNode& value : values.elements) axis.values.push_back(to_flow_text(value));
    axes.push_back(std::move(axis));
  }
  return axes;
}

Stage make_stage(const YamlDocument& document, const std::string& kind, const YamlNode& place) {
  if (kind == "train") return TrainStage{};
  if (kind == "distill") return DistillStage{};
  if (kind == "evaluate") return EvaluateStage{};
  const std::vector<std::string> kinds{"train", "distill", "evaluate"};
  fail<InvalidArgument>("{}: unknown stage '{}'.{} Valid: {}", document.key_place(place), kind,
                        nearest_hint(kind, kinds), fmt::join(kinds, ", "));
}

/// Names that stages may refer to, growing as stages make results.
class References {
 public:
  References(const YamlDocument& document, const Recipe& recipe) : document_(document) {
    for (const auto& [name, options] : recipe.models) names_.push_back(name);
  }

  void check(const std::string& name, const YamlNode& place) const {
    LIMBECK_CHECK(has(name), "{}: there is no model '{}' here.{} Known: {}", document_.place(place), name,
                  nearest_hint(name, names_), fmt::join(names_, ", "));
  }

  /// A stage's result: its name becomes a folder's, and, where the stage makes a model, one for later stages.
  void add_result(const std::string& name, bool is_model, const YamlNode& place) {
    LIMBECK_CHECK(!name.empty(), "{}: 'name' must not be empty", document_.place(place));
    LIMBECK_CHECK(results_.insert(name).second, "{}: two stages make a result '{}'. Give one a 'name'.",
                  document_.place(place), name);
    LIMBECK_CHECK(name.find_first_of("/\\") == std::string::npos && name.front() != '.',
                  "{}: '{}' cannot be the name of a result: it becomes a folder's name", document_.place(place), name);
    if (is_model && !has(name)) names_.push_back(name);
  }

 private:
  bool has(const std::string& name) const { return std::find(names_.begin(), names_.end(), name) != names_.end(); }

  const YamlDocument& document_;
  std::vector<std::string> names_;
  std::set<std::string> results_;
};

void check_references(const Stage& stage, References& references, const YamlNode& place) {
  if (const auto* train = std::get_if<TrainStage>(&stage)) {
    references.check(train->model, place);
    references.add_result(stage_name(stage), /*is_model=*/true, place);
  } else if (const auto* distill = std::get_if<DistillStage>(&stage)) {
    references.check(distill->student, place);
    references.check(distill->teacher, place);
    references.add_result(stage_name(stage), /*is_model=*/true, place);
  } else {
    for (const std::string& model : std::get<EvaluateStage>(stage).models) references.check(model, place);
    references.add_result(stage_name(stage), /*is_model=*/false, place);
  }
}

void validate_stage(const YamlDocument& document, const YamlNode& place, Stage& stage, uint64_t seed) {
  validate_at(document, place, [&] {
    if (auto* train = std::get_if<TrainStage>(&stage)) {
      train->train.seed = seed;
      train->train.validate();
    } else if (auto* distill = std::get_if<DistillStage>(&stage)) {
      distill->train.seed = distill->distill.seed = seed;
      distill->train.validate();
      distill->distill.validate();
    } else {
      std::get<EvaluateStage>(stage).validate();
    }
  });
}

void read_stages(const YamlDocument& document, const YamlNode& node, Recipe& recipe) {
  LIMBECK_CHECK(node.kind == YamlNode::Kind::sequence && !node.elements.empty(),
                "{}: 'stages' must be a sequence such as `- train: {{model: student}}`", document.place(node));
  References references(document, recipe);
  for (const YamlNode& element : node.elements) {
    LIMBECK_CHECK(element.kind == YamlNode::Kind::mapping && element.members.size() == 1,
                  "{}: a stage must be one key (train, distill, evaluate) with its options", document.place(element));
    const auto& [kind, options] = element.members.front();
    Stage stage = make_stage(document, kind, options);
    read_fields(document, options, [&](Fields& fields) { std::visit([&](auto& s) { describe(fields, s); }, stage); });
    validate_stage(document, options, stage, recipe.seed);
    check_references(stage, references, options);
    recipe.stages.push_back(std::move(stage));
  }
}

Recipe read_document(const YamlDocument& document) {
  check_mapping(document, document.root, "a recipe");
  Recipe recipe;
  MappingReader reader(document, document.root);
  describe(reader, recipe);
  for (const char* key : {"models", "stages"}) {
    reader.allow(key);
    reader.required(key);
  }
  reader.allow("sweep");
  reader.finish();
  validate_at(document, document.root, [&] { recipe.validate(); });
  if (const YamlNode* sweep = document.root.find("sweep")) recipe.sweep = read_sweep(document, *sweep);
  validate_at(document, *document.root.find("data"), [&] { recipe.data.validate(); });
  recipe.models = read_models(document, *document.root.find("models"));
  read_stages(document, *document.root.find("stages"), recipe);
  if (recipe.output.empty()) recipe.output = "runs/" + recipe.name;
  return recipe;
}

}  // namespace

void read_fields(const YamlDocument& document, const YamlNode& mapping, const Fields::Describe& describe) {
  YamlNode empty = mapping;  // `train:` without a value is an empty mapping at its place
  empty.kind = YamlNode::Kind::mapping;
  const bool is_empty = mapping.kind == YamlNode::Kind::null;
  if (!is_empty) check_mapping(document, mapping, "this value");
  MappingReader reader(document, is_empty ? empty : mapping);
  describe(reader);
  reader.finish();
}

Recipe parse_recipe(std::string_view text, const std::string& source, const Overrides& overrides) {
  YamlDocument document = parse_yaml(text, source);
  for (const auto& [path, value, origin] : overrides) set_yaml(document, path, value, origin);
  return read_document(document);
}

Recipe read_recipe(const std::filesystem::path& path, const Overrides& overrides) {
  return parse_recipe(core::read_file(path, kMaxYamlBytes), path.string(), overrides);
}

}  // namespace limbeck::recipe
