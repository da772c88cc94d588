#include "limbeck/data/files/array_dataset.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/files/safetensors.h"
#include "limbeck/data/fingerprint.h"
#include "limbeck/data/open_dataset.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

namespace limbeck::data {
namespace {

namespace fs = std::filesystem;

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

at::Tensor counting(at::IntArrayRef sizes, at::ScalarType dtype = at::kByte) {
  return at::arange(c10::multiply_integers(sizes), at::kLong).remainder(251).view(sizes).to(dtype);
}

void save_npy(const fs::path& path, const at::Tensor& array, const char* descr) {
  const at::Tensor dense = array.contiguous();
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({},), }}", descr, fmt::join(array.sizes(), ", "));
  std::string file("\x93NUMPY\1\0", 8);
  file += {static_cast<char>(header.size()), '\0'};
  file += header;
  file.append(static_cast<const char*>(dense.const_data_ptr()), dense.nbytes());
  core::write_file(path, file);
}

core::TensorToWrite entry(const std::string& name, const at::Tensor& tensor, core::DType dtype) {
  return {name, dtype, tensor.sizes().vec(), {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
}

TEST(ToImages, KnowsTheLayouts) {
  const at::Tensor nchw = counting({2, 3, 5, 7});
  EXPECT_TRUE(at::equal(to_images(nchw, "x"), nchw));
  EXPECT_TRUE(at::equal(to_images(nchw.permute({0, 2, 3, 1}).contiguous(), "x"), nchw));
  EXPECT_TRUE(at::equal(to_images(counting({2, 5, 7}), "x"), counting({2, 1, 5, 7})));
  EXPECT_TRUE(to_images(nchw.permute({0, 2, 3, 1}), "x").is_contiguous());
  const std::string message = message_of([] { to_images(counting({2, 3, 5, 3}), "x.npy"); });
  EXPECT_TRUE(contains(message, "x.npy has the shape [2, 3, 5, 3], of which it cannot be told")) << message;
  EXPECT_EQ(to_images(counting({2, 3, 5, 3}), "x", ArrayLayout::nhwc).sizes(), at::IntArrayRef({2, 3, 3, 5}));
  EXPECT_EQ(to_images(counting({2, 9, 5, 8}), "x", ArrayLayout::nchw).sizes(), at::IntArrayRef({2, 9, 5, 8}));
  EXPECT_THROW(to_images(counting({4, 4}), "x"), InvalidArgument);
}

TEST(ToImages, MakesBytesOfIntegersAndFloatsOfTheRest) {
  for (const at::ScalarType dtype : {at::kByte, at::kShort, at::kInt, at::kLong, at::kUInt16}) {
    const at::Tensor images = to_images(counting({2, 1, 5, 6}).to(dtype), "x");
    EXPECT_EQ(images.scalar_type(), at::kByte);
    EXPECT_TRUE(at::equal(images, counting({2, 1, 5, 6})));
  }
  for (const at::ScalarType dtype : {at::kHalf, at::kBFloat16, at::kFloat, at::kDouble}) {
    EXPECT_EQ(to_images(counting({2, 1, 5, 6}, dtype), "x").scalar_type(), at::kFloat);
  }
  const std::string message = message_of([] { to_images(at::full({1, 1, 5, 5}, 256, at::kInt), "x.npy"); });
  EXPECT_TRUE(contains(message, "x.npy holds whole numbers from 256 to 256: pixels must lie in 0..255")) << message;
  EXPECT_THROW(to_images(at::full({1, 1, 5, 5}, -1, at::kInt), "x"), InvalidArgument);
}

TEST(ToLabels, TakesIntegersInOneColumn) {
  EXPECT_TRUE(at::equal(to_labels(at::tensor({2, 0}, at::kByte), "y"), at::tensor({2, 0}, at::kLong)));
  EXPECT_TRUE(at::equal(to_labels(at::tensor({2, 0}, at::kInt).view({2, 1}), "y"), at::tensor({2, 0}, at::kLong)));
  EXPECT_THROW(to_labels(at::ones({2}), "y"), InvalidArgument);
  EXPECT_THROW(to_labels(at::ones({2, 2}, at::kLong), "y"), InvalidArgument);
  EXPECT_EQ(message_of([] {
              to_labels(at::tensor({2, 0, -3}, at::kLong), "y.npy");
            }),
            "[data] y.npy: labels must not be negative, and sample 2 has the label -3. Correct it.");
}

TEST(OpenNpyFolder, ReadsBothConventionsAndNames) {
  const core::TemporaryDirectory folder;
  save_npy(folder.path() / "train_images.npy", counting({3, 6, 5, 3}), "|u1");
  save_npy(folder.path() / "train_labels.npy", at::tensor({0, 2, 1}, at::kLong), "<i8");
  save_npy(folder.path() / "x_test.npy", counting({2, 6, 5, 3}, at::kFloat), "<f4");
  save_npy(folder.path() / "y_test.npy", at::tensor({1, 1}, at::kInt), "<i4");
  const std::string spec = "npy:" + folder.path().string();
  const auto train = open_dataset(spec), test = open_dataset(spec, {.split = Split::test});
  EXPECT_EQ(train->size(), 3);
  EXPECT_EQ(train->shape(), (ImageShape{3, 6, 5}));
  EXPECT_EQ(train->label(1), 2);
  EXPECT_EQ(train->class_names(), (std::vector<std::string>{"0", "1", "2"}));
  EXPECT_TRUE(at::equal(train->sample(1).image, counting({3, 6, 5, 3})[1].permute({2, 0, 1})));
  EXPECT_EQ(test->sample(0).image.scalar_type(), at::kFloat);
  EXPECT_FALSE(test->pixels());
  core::write_file(folder.path() / "class_names.txt", "a\nb\nc\nd\n");
  EXPECT_EQ(open_dataset(spec)->num_classes(), 4);
  core::write_file(folder.path() / "class_names.txt", "a\n");
  EXPECT_TRUE(contains(message_of([&] { open_dataset(spec); }),
                       "less than 1, the number of classes, and sample 1 has the label 2."));
}

TEST(OpenNpyFolder, SaysWhatIsWrong) {
  const core::TemporaryDirectory folder;
  const std::string spec = "npy:" + folder.path().string();
  EXPECT_TRUE(contains(message_of([&] { open_dataset(spec); }), "no train_images.npy and no x_train.npy in"));
  save_npy(folder.path() / "train_images.npy", counting({3, 6, 5, 3}), "|u1");
  save_npy(folder.path() / "train_labels.npy", at::tensor({0, 2}, at::kLong), "<i8");
  EXPECT_TRUE(contains(message_of([&] { open_dataset(spec); }), "got 2 labels in"));
  EXPECT_TRUE(contains(message_of([&] { open_dataset(spec + "?layout=chw"); }), "a layout is nchw or nhwc, got 'chw'"));
  EXPECT_TRUE(contains(message_of([&] { open_dataset(spec + "?order=nchw"); }), "has no key 'order'. It has layout"));
}

TEST(OpenSafetensorsArrays, ReadsTensorsAndNames) {
  const core::TemporaryDirectory folder;
  const fs::path path = folder.path() / "set.safetensors";
  const at::Tensor images = counting({3, 1, 6, 5}, at::kFloat), labels = at::tensor({1, 0, 1}, at::kInt);
  const std::vector<core::TensorToWrite> tensors{entry("train_images", images, core::DType::f32),
                                                 entry("train_labels", labels, core::DType::i32)};
  core::write_safetensors(path, tensors, {{"class_names", R"(["cat", "dog"])"}});
  const std::string spec = "safetensors:" + path.string();
  const auto train = open_dataset(spec);
  EXPECT_EQ(train->class_names(), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_TRUE(at::equal(train->sample(2).image, images[2]));
  EXPECT_EQ(train->label(2), 1);
  EXPECT_TRUE(contains(message_of([&] { open_dataset(spec, {.split = Split::test}); }),
                       "has no tensor 'test_images'. Nearest: train_images"));
  core::write_safetensors(path, tensors, {});
  EXPECT_EQ(open_dataset(spec)->class_names(), (std::vector<std::string>{"0", "1"}));
  core::write_safetensors(path, tensors, {{"class_names", R"({"cat": 1})"}});
  EXPECT_TRUE(contains(message_of([&] { open_dataset(spec); }), "class_names"));
}

TEST(FingerprintOfArrays, IsOfFloatsToo) {
  const core::TemporaryDirectory folder;
  const auto hash = [&](const at::Tensor& images) {
    save_npy(folder.path() / "train_images.npy", images, "<f4");
    save_npy(folder.path() / "train_labels.npy", at::zeros({2}, at::kLong), "<i8");
    return fingerprint(*open_dataset("npy:" + folder.path().string()));
  };
  EXPECT_EQ(hash(at::ones({2, 1, 5, 5})), hash(at::ones({2, 1, 5, 5})));
  EXPECT_NE(hash(at::ones({2, 1, 5, 5})), hash(at::zeros({2, 1, 5, 5})));
}

}  // namespace
}  // namespace limbeck::data
