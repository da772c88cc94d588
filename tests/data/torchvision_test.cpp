// The operations on images against torchvision's, pixel by pixel, given the same choices. What they are compared with
// is written by tests/export/transform_cases.py into the folder that LIMBECK_TRANSFORM_CASES names.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>

#include "limbeck/core/error.h"
#include "limbeck/core/files/safetensors.h"
#include "limbeck/core/json/json.h"
#include "limbeck/core/table.h"
#include "limbeck/data/transforms.h"
#include "limbeck/data/transforms/options.h"
#include "limbeck/data/transforms/pixels/color.h"
#include "limbeck/data/transforms/pixels/tone.h"

namespace limbeck::data {
namespace {

using core::Json;
using core::JsonView;

at::Tensor tensor_of(const core::StoredTensor& stored) {
  const auto dtype = stored.dtype == core::DType::u8 ? at::kByte : at::kFloat;
  return at::from_blob(stored.bytes.data(), stored.shape, at::TensorOptions(dtype));
}

Box box_of(const JsonView& args) {
  return {args["top"].as_int(), args["left"].as_int(), args["height"].as_int(), args["width"].as_int()};
}

// A transform without choices, whose options are the arguments.
at::Tensor by_transform(const char* name, const JsonView& args, const at::Tensor& image) {
  const Json document = Json::object({{name, args.value()}});
  return apply(parse_transform(JsonView(document, name)), image, {}, 0);
}

at::Tensor resized_crop(const JsonView& args, const at::Tensor& image) {
  const Json options = Json::object({{"size", args["size"].value()}, {"interpolation", args["interpolation"].value()}});
  const Json document = Json::object({{"random_resized_crop", options}});
  return apply(std::get<RandomResizedCrop>(parse_transform(JsonView(document, "case"))), box_of(args), image);
}

at::Tensor augment(const JsonView& args, const at::Tensor& image) {
  for (int kind = 0; kind <= static_cast<int>(AugmentKind::invert); ++kind) {
    const auto one = static_cast<AugmentKind>(kind);
    if (augment_name(one) == args["kind"].as_string()) return apply_ops({{one, args["magnitude"].as_double()}}, image);
  }
  args["kind"].fail("must be an operation of AutoAugment");
}

at::Tensor evaluation(const JsonView& args, const at::Tensor& image) {
  Normalize normalize;
  for (const JsonView& mean : args["mean"].elements()) normalize.mean.push_back(static_cast<float>(mean.as_double()));
  for (const JsonView& std : args["std"].elements()) normalize.stddev.push_back(static_cast<float>(std.as_double()));
  return apply({Resize{.size = {args["resize"].as_int()}}, CenterCrop{.size = {args["crop"].as_int()}}, normalize},
               image, SampleKey{});
}

using Operation = std::function<at::Tensor(const JsonView&, const at::Tensor&)>;

const std::map<std::string, Operation>& operations() {
  static const std::map<std::string, Operation> kOperations{
      {"resize", [](const auto& args, const auto& image) { return by_transform("resize", args, image); }},
      {"center_crop", [](const auto& args, const auto& image) { return by_transform("center_crop", args, image); }},
      {"pad", [](const auto& args, const auto& image) { return by_transform("pad", args, image); }},
      {"resized_crop", resized_crop},
      {"augment", augment},
      {"evaluation", evaluation},
      {"crop", [](const auto& args, const auto& image) { return crop(image, box_of(args)); }},
      {"horizontal_flip", [](const auto&, const auto& image) { return flip_horizontally(image); }},
      {"vertical_flip", [](const auto&, const auto& image) { return flip_vertically(image); }},
      {"brightness", [](const auto& a, const auto& x) { return adjust_brightness(x, a["factor"].as_double()); }},
      {"contrast", [](const auto& a, const auto& x) { return adjust_contrast(x, a["factor"].as_double()); }},
      {"saturation", [](const auto& a, const auto& x) { return adjust_saturation(x, a["factor"].as_double()); }},
      {"sharpness", [](const auto& a, const auto& x) { return adjust_sharpness(x, a["factor"].as_double()); }},
      {"hue", [](const auto& a, const auto& x) { return adjust_hue(x, a["factor"].as_double()); }},
      {"grayscale", [](const auto& a, const auto& x) { return to_grayscale(x, a["channels"].as_int()); }},
      {"posterize", [](const auto& a, const auto& x) { return posterize(x, static_cast<int>(a["bits"].as_int())); }},
      {"solarize", [](const auto& a, const auto& x) { return solarize(x, a["threshold"].as_double()); }},
      {"autocontrast", [](const auto&, const auto& x) { return autocontrast(x); }},
      {"equalize", [](const auto&, const auto& x) { return equalize(x); }},
      {"invert", [](const auto&, const auto& x) { return invert(x); }},
  };
  return kOperations;
}

// How far results lie from torchvision's, in bytes (255ths of the range).
struct Differences {
  std::int64_t cases = 0;
  std::int64_t values = 0;
  std::int64_t differing = 0;
  std::int64_t beyond_one = 0;
  double sum = 0;
  double largest = 0;

  void add(const at::Tensor& difference) {
    ++cases;
    values += difference.numel();
    differing += difference.gt(1e-3).sum().item<std::int64_t>();
    beyond_one += difference.gt(1.001).sum().item<std::int64_t>();
    sum += difference.sum().item<double>();
    largest = std::max(largest, difference.max().item<double>());
  }
  double share_beyond_one() const { return static_cast<double>(beyond_one) / static_cast<double>(values); }
};

using Results = std::map<std::string, Differences>;

void compare(const JsonView& one, const core::SafetensorsFile& file, Results& results) {
  const std::string& operation = one["op"].as_string();
  const at::Tensor image = tensor_of(file.at(one["image"].as_string())).permute({2, 0, 1});
  const at::Tensor expected = tensor_of(file.at(one["result"].as_string()));
  const at::Tensor got = operations().at(operation)(one["args"], image);
  const std::string what = operation + " " + one["args"].value().dump() + " of " + fmt::format("{}", image.sizes());
  ASSERT_EQ(got.sizes(), expected.sizes()) << what;
  ASSERT_EQ(got.scalar_type(), expected.scalar_type()) << what;
  // Normalized floats are compared in bytes too: 0.229 is the largest standard deviation of the cases.
  const double scale = got.scalar_type() == at::kFloat ? 255 * 0.229 : 1;
  const std::string name = operation == "augment" ? operation + " " + one["args"]["kind"].as_string() : operation;
  results[name].add(got.to(at::kDouble).sub(expected.to(at::kDouble)).abs().mul(scale));
}

std::string table_of(const Results& results) {
  core::Table table({{"operation", core::Table::Align::left},
                     {"cases"},
                     {"values"},
                     {"differing"},
                     {"> 1/255"},
                     {"mean"},
                     {"largest"}});
  for (const auto& [name, d] : results) {
    table.add_row({name, std::to_string(d.cases), std::to_string(d.values),
                   fmt::format("{:.4f} %", 100.0 * static_cast<double>(d.differing) / static_cast<double>(d.values)),
                   fmt::format("{:.4f} %", 100 * d.share_beyond_one()),
                   fmt::format("{:.5f}", d.sum / static_cast<double>(d.values)), fmt::format("{:.0f}", d.largest)});
  }
  return table.text(120);
}

class TorchvisionTransforms : public testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TorchvisionTransforms);

// At most one value in a thousand may be off by more than a byte: a nearest pixel that lies halfway between two.
TEST_P(TorchvisionTransforms, GivesTorchvisionsPixels) {
  Results results;
  std::int64_t num_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(GetParam())) {
    const core::SafetensorsFile file = core::SafetensorsFile::open(entry.path());
    const Json cases = core::parse_json(file.metadata().at("cases"), "cases");
    for (const JsonView& one : JsonView(cases, "cases").elements()) compare(one, file, results);
    ++num_files;
  }
  ASSERT_GT(num_files, 0);
  std::printf("%s", table_of(results).c_str());
  EXPECT_EQ(results.size(), operations().size() - 1 + 15) << "operations, and one row for each that augment has";
  for (const auto& [name, differences] : results) {
    EXPECT_LE(differences.share_beyond_one(), 1e-3) << name;
  }
}

std::vector<std::string> folders() {
  const char* folder = std::getenv("LIMBECK_TRANSFORM_CASES");
  return folder == nullptr ? std::vector<std::string>{} : std::vector<std::string>{folder};
}

INSTANTIATE_TEST_SUITE_P(Cases, TorchvisionTransforms, testing::ValuesIn(folders()),
                         [](const auto&) { return std::string("Folder"); });

}  // namespace
}  // namespace limbeck::data
