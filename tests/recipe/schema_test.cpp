#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/recipe/read.h"

namespace limbeck::recipe {
namespace {

namespace fs = std::filesystem;
using core::Json;
using core::JsonView;

const fs::path kSource = LIMBECK_SOURCE_DIR;

Recipe parse(const std::string& stages) {
  return parse_recipe(
      "name: x\ndata: {dataset: fashion-mnist}\nmodels: {m: {zoo: resnet18}, n: {file: n.lmb}}\nstages:\n" + stages,
      "r.yaml");
}

TEST(EffectiveOptions, HoldDefaultsAndGivenValues) {
  const Json json = effective_options(parse("  - train: {model: m, epochs: 4, optimizer: {lr: 0.5}}\n"));
  const JsonView view(json, "options");
  const JsonView train = view["stages"][0]["train"];
  EXPECT_EQ(train["epochs"].as_int(), 4);
  EXPECT_EQ(train["optimizer"]["lr"].as_double(), 0.5);
  EXPECT_EQ(train["optimizer"]["kind"].as_string(), "sgd");
  EXPECT_EQ(train["precision"].as_string(), "fp32");
  EXPECT_EQ(train["memory_format"].as_string(), "channels_last");
  EXPECT_EQ(view["data"]["batch_size"].as_int(), 128);
  EXPECT_EQ(view["models"]["n"]["file"].as_string(), "n.lmb");
}

TEST(EffectiveOptions, OfAGroupLeaveToTheOptimizerWhatItDoesNotSay) {
  const Recipe recipe = parse(
      "  - train: {model: m, optimizer: {kind: lamb, maximize: true, groups: [{pattern: bias, adaptation: matrices}, "
      "{pattern: bn}]}}\n");
  const train::OptimizerOptions& options = std::get<TrainStage>(recipe.stages[0]).train.optimizer;
  EXPECT_TRUE(options.maximize);
  ASSERT_EQ(options.groups.size(), 2U);
  EXPECT_EQ(options.groups[0].adaptation, train::Adaptation::matrices);
  EXPECT_EQ(options.groups[1].adaptation, std::nullopt);
  const Json json = effective_options(recipe);
  const JsonView optimizer = JsonView(json, "options")["stages"][0]["train"]["optimizer"];
  EXPECT_EQ(optimizer["groups"][0]["adaptation"].as_string(), "matrices");
  EXPECT_EQ(optimizer["groups"][1]["adaptation"].as_string(), "inherit");
}

TEST(EffectiveOptions, AreTheSameTextForTheSameOptions) {
  const auto text = [](const std::string& stages) { return effective_options(parse(stages)).dump(); };
  const std::string plain = text("  - train: {model: m, epochs: 4}\n");
  EXPECT_EQ(plain, text("  - train:\n      epochs: 4   # the same\n      model: m\n"));
  EXPECT_EQ(plain, text("  - train: {model: m, epochs: 4, precision: fp32, optimizer: {}}\n"));
  EXPECT_NE(plain, text("  - train: {model: m, epochs: 5}\n"));
  EXPECT_NE(plain, text("  - train: {model: n, epochs: 4}\n"));
}

TEST(EffectiveOptions, OfARecipeReadBackGiveTheSameRecipe) {
  const Recipe recipe = read_recipe(kSource / "recipes/fashion-mnist.yaml");
  const Json options = effective_options(recipe);
  EXPECT_EQ(effective_options(read_recipe(kSource / "recipes/fashion-mnist.yaml")).dump(), options.dump());
  EXPECT_EQ(JsonView(options, "options")["stages"].size(), recipe.stages.size());
}

/// Every object that lists properties: it must refuse others and describe its own.
void check_properties(const JsonView& schema, int& num_fields) {
  if (const auto properties = schema.get("properties")) {
    EXPECT_FALSE(schema["additionalProperties"].as_bool()) << schema.path();
    for (const auto& [key, value] : properties->members()) {
      ++num_fields;
      const bool is_stage = key == "train" || key == "distill" || key == "evaluate";
      EXPECT_TRUE(is_stage || value.has("description")) << value.path();
      check_properties(value, num_fields);
    }
  }
  if (const auto items = schema.get("items")) check_properties(*items, num_fields);
  if (const auto kinds = schema.get("oneOf")) {
    for (const JsonView& kind : kinds->elements()) check_properties(kind, num_fields);
  }
}

TEST(RecipeSchema, DescribesEveryKeyAndRefusesOthers) {
  const Json schema = recipe_schema();
  const JsonView view(schema, "schema");
  int num_fields = 0;
  check_properties(view, num_fields);
  EXPECT_GT(num_fields, 60);
  EXPECT_EQ(view["required"].as_strings(), (std::vector<std::string>{"name", "data", "models", "stages"}));
  EXPECT_EQ(view["$schema"].as_string(), "https://json-schema.org/draft/2020-12/schema");
}

TEST(RecipeSchema, HasTheKeysOfTheReader) {
  const Json schema = recipe_schema();
  std::set<std::string> keys;
  for (const auto& member : JsonView(schema, "schema")["properties"].members()) keys.emplace(member.first);
  EXPECT_EQ(keys, (std::set<std::string>{"name", "seed", "seeds", "sweep", "output", "threads", "device", "data",
                                         "models", "stages"}));
  EXPECT_EQ(JsonView(schema, "schema")["properties"]["stages"]["items"]["oneOf"].size(), 3U);
}

/// LIMBECK_WRITE_SCHEMA=1 writes the file instead of comparing it.
TEST(RecipeSchema, IsPublished) {
  const fs::path file = kSource / "docs/recipe.schema.json";
  const std::string text = recipe_schema().dump(2) + "\n";
  if (std::getenv("LIMBECK_WRITE_SCHEMA") != nullptr) core::write_file(file, text);
  ASSERT_TRUE(fs::exists(file) && core::read_file(file) == text)
      << file << " is not what recipe_schema() gives. Write it: LIMBECK_WRITE_SCHEMA=1 recipe_test "
      << "--gtest_filter=RecipeSchema.IsPublished";
}

TEST(Recipes, InTheRepositoryAreValid) {
  int num_recipes = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(kSource / "recipes")) {
    if (entry.path().extension() != ".yaml") continue;
    EXPECT_NO_THROW(read_recipe(entry.path())) << entry.path();
    ++num_recipes;
  }
  EXPECT_GE(num_recipes, 1);
}

}  // namespace
}  // namespace limbeck::recipe
