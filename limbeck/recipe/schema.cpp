// The other two forms of the options' description: effective values and the JSON schema.
#include <fmt/format.h>

#include "limbeck/core/overloaded.h"
#include "limbeck/recipe/read.h"

namespace limbeck::recipe {

using core::Json;

namespace {

template <class T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

/// Current values as JSON.
class ValueWriter : public Fields {
 public:
  Json take() { return std::move(json_); }

  void field(const char* key, FieldRef value, const char*) override {
    json_[key] = std::visit(core::Overloaded{
                                [](const Choice& choice) { return Json(choice.get()); },
                                [](std::map<std::string, std::string>* options) {
                                  Json object = Json::object();
                                  for (const auto& [name, text] : *options) object[name] = text;
                                  return object;
                                },
                                [](std::vector<int64_t>* values) { return Json::array(*values); },
                                [](std::vector<double>* values) { return Json::array(*values); },
                                [](std::vector<std::string>* values) { return Json::array(*values); },
                                [](const OneOrMore<int64_t>& list) { return Json::array(*list.values); },
                                [](const OneOrMore<double>& list) { return Json::array(*list.values); },
                                [](std::optional<double>* number) { return optional_json(*number); },
                                [](std::optional<int64_t>* number) { return optional_json(*number); },
                                [](auto* plain) { return Json(*plain); },
                            },
                            value);
  }

  void section(const char* key, const char*, const Describe& describe) override {
    json_[key] = effective_options(describe);
  }

  void list(const char* key, const char*, const List& list) override {
    Json elements = Json(Json::Array{});
    for (std::size_t i = 0; i < list.size(); ++i) {
      elements.push_back(effective_options([&](Fields& fields) { list.element(fields, i); }));
    }
    json_[key] = std::move(elements);
  }

  void variants(const char* key, const char*, const Variants& variants) override {
    Json elements = Json(Json::Array{});
    for (std::size_t i = 0; i < variants.size(); ++i) {
      Json options = effective_options([&](Fields& fields) { variants.element(fields, i); });
      elements.push_back(Json::object({{variants.name(i), std::move(options)}}));
    }
    json_[key] = std::move(elements);
  }

  void required(const char*) override {}

 private:
  Json json_ = Json::object();
};

Json typed(const char* type) { return Json::object({{"type", type}}); }

Json sequence_of(const char* type) { return Json::object({{"type", "array"}, {"items", typed(type)}}); }

Json one_or_more_of(const char* type) {
  return Json::object({{"anyOf", Json(Json::Array{typed(type), sequence_of(type)})}});
}

/// Properties with types, defaults and help.
class SchemaWriter : public Fields {
 public:
  Json take() {
    Json schema =
        Json::object({{"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties_)}});
    if (!required_.empty()) schema["required"] = Json(std::move(required_));
    return schema;
  }

  void add(const char* key, Json schema, const char* help) {
    schema["description"] = help;
    properties_[key] = std::move(schema);
  }

  void field(const char* key, FieldRef value, const char* help) override {
    Json schema =
        std::visit(core::Overloaded{
                       [](bool* flag) {
                         return Json::object({{"type", "boolean"}, {"default", *flag}});
                       },
                       [](int64_t* number) {
                         return Json::object({{"type", "integer"}, {"default", *number}});
                       },
                       [](uint64_t* number) {
                         return Json::object({{"type", "integer"}, {"minimum", 0}, {"default", *number}});
                       },
                       [](double* number) {
                         return Json::object({{"type", "number"}, {"default", *number}});
                       },
                       [](std::string* text) {
                         return Json::object({{"type", "string"}, {"default", *text}});
                       },
                       [](std::optional<double>*) { return typed("number"); },
                       [](std::optional<int64_t>*) { return typed("integer"); },
                       [](std::vector<int64_t>*) { return sequence_of("integer"); },
                       [](std::vector<double>*) { return sequence_of("number"); },
                       [](std::vector<std::string>*) { return sequence_of("string"); },
                       [](const Choice& choice) {
                         return Json::object({{"enum", Json::array(choice.names)}, {"default", choice.get()}});
                       },
                       [](std::map<std::string, std::string>*) { return typed("object"); },
                       [](const OneOrMore<int64_t>&) { return one_or_more_of("integer"); },
                       [](const OneOrMore<double>&) { return one_or_more_of("number"); },
                   },
                   value);
    add(key, std::move(schema), help);
  }

  void section(const char* key, const char* help, const Describe& describe) override {
    add(key, schema_of(describe), help);
  }

  void list(const char* key, const char* help, const List& list) override {
    list.resize(1);  // one element to describe
    Json items = schema_of([&](Fields& fields) { list.element(fields, 0); });
    list.resize(0);
    add(key, Json::object({{"type", "array"}, {"items", std::move(items)}}), help);
  }

  void variants(const char* key, const char* help, const Variants& variants) override {
    Json::Array kinds;
    for (const std::string& name : variants.names) {
      variants.clear();
      variants.add(name);  // to describe it
      Json options = schema_of([&](Fields& fields) { variants.element(fields, 0); });
      options["type"] = Json::array(std::vector<std::string>{"object", "null"});
      options["description"] = variants.help(0);
      kinds.push_back(Json::object({{"type", "object"},
                                    {"additionalProperties", false},
                                    {"required", Json(Json::Array{name})},
                                    {"properties", Json::object({{name, std::move(options)}})}}));
    }
    variants.clear();
    Json items = Json::object({{"oneOf", Json(std::move(kinds))}});
    add(key, Json::object({{"type", "array"}, {"items", std::move(items)}}), help);
  }

  void required(const char* key) override { required_.emplace_back(key); }

  static Json schema_of(const Describe& describe) {
    SchemaWriter writer;
    describe(writer);
    return writer.take();
  }

 private:
  Json properties_ = Json::object();
  Json::Array required_;
};

template <class S>
Json stage_schema(const char* kind) {
  S stage;
  return Json::object(
      {{"type", "object"},
       {"additionalProperties", false},
       {"required", Json(Json::Array{kind})},
       {"properties",
        Json::object({{kind, SchemaWriter::schema_of([&](Fields& fields) { describe(fields, stage); })}})}});
}

}  // namespace

Json effective_options(const Fields::Describe& describe) {
  ValueWriter writer;
  describe(writer);
  return writer.take();
}

Json effective_options(const Recipe& recipe) {
  Recipe copy = recipe;
  Json json = effective_options([&](Fields& fields) { describe(fields, copy); });
  Json models = Json::object();
  for (auto& [name, options] : copy.models) {
    models[name] = effective_options([&options = options](Fields& fields) { describe(fields, options); });
  }
  json["models"] = std::move(models);
  Json sweep = Json::object();
  for (const SweepAxis& axis : copy.sweep) sweep[axis.key] = Json::array(axis.values);
  json["sweep"] = std::move(sweep);
  Json::Array stages;
  for (Stage& stage : copy.stages) {
    Json options = effective_options([&](Fields& fields) { std::visit([&](auto& s) { describe(fields, s); }, stage); });
    stages.push_back(Json::object({{stage_kind(stage), std::move(options)}}));
  }
  json["stages"] = Json(std::move(stages));
  return json;
}

Json options_schema(const Fields::Describe& describe) { return SchemaWriter::schema_of(describe); }

Json recipe_schema() {
  Recipe recipe;
  SchemaWriter writer;
  describe(writer, recipe);
  ModelOptions model;
  Json models = Json::object({{"type", "object"}});
  models["additionalProperties"] = SchemaWriter::schema_of([&](Fields& fields) { describe(fields, model); });
  writer.add("models", std::move(models), "the models that stages start from, by name");
  Json stages = Json::object({{"type", "array"}, {"minItems", 1}});
  stages["items"] =
      Json::object({{"oneOf", Json(Json::Array{stage_schema<TrainStage>("train"), stage_schema<DistillStage>("distill"),
                                               stage_schema<EvaluateStage>("evaluate")})}});
  writer.add("stages", std::move(stages), "what is done, in order; each result can be used by the stages after it");
  Json sweep = Json::object({{"type", "object"}});
  sweep["additionalProperties"] = Json::object({{"type", "array"}, {"minItems", 1}});
  writer.add("sweep", std::move(sweep),
             "keys of the recipe, as --set has them, each with the values to try: one run for every combination");
  writer.required("models");
  writer.required("stages");
  Json schema = writer.take();
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "Limbeck recipe";
  return schema;
}

}  // namespace limbeck::recipe
