#include "limbeck/data/open_dataset.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/data/files/idx_dataset.h"
#include "limbeck/data/synthetic.h"
#include "limbeck/data/transforms.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace limbeck::data {
namespace {

namespace fs = std::filesystem;

// Sets an environment variable while it lives; null removes it.
class ScopedEnvironment {
 public:
  ScopedEnvironment(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    set(value);
  }
  ~ScopedEnvironment() { set(old_ ? old_->c_str() : nullptr); }
  ScopedEnvironment(const ScopedEnvironment&) = delete;
  ScopedEnvironment& operator=(const ScopedEnvironment&) = delete;

 private:
  void set(const char* value) { value != nullptr ? setenv(name_, value, 1) : unsetenv(name_); }

  const char* name_;
  std::optional<std::string> old_;
};

std::string idx_file(const std::vector<std::uint8_t>& dims, const std::string& content) {
  std::string file{'\0', '\0', '\x08', static_cast<char>(dims.size())};
  for (const std::uint8_t dim : dims) file += std::string{'\0', '\0', '\0', static_cast<char>(dim)};
  return file + content;
}

// Four images [2, 1] for training with labels 0 2 1 2 and two for testing with labels 1 0.
void write_tiny_folder(const fs::path& folder) {
  core::create_directories(folder);
  core::write_file(folder / "train-images-idx3-ubyte", idx_file({4, 2, 1}, "abcdefgh"));
  core::write_file(folder / "train-labels-idx1-ubyte", idx_file({4}, std::string("\0\2\1\2", 4)));
  core::write_file(folder / "t10k-images.idx3-ubyte", idx_file({2, 2, 1}, "ABCD"));
  core::write_file(folder / "t10k-labels-idx1-ubyte", idx_file({2}, std::string("\1\0", 2)));
}

template <class E, class Function>
std::string message_of(const Function& function) {
  try {
    function();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing of the expected class was thrown";
  return {};
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(IdxFolder, ReadsBothPartsWithClassesOfTraining) {
  const core::TemporaryDirectory folder;
  write_tiny_folder(folder.path());
  const std::string spec = "idx:" + folder.path().string();
  const auto train = open_dataset(spec);
  const auto test = open_dataset(spec, {.split = Split::test});
  EXPECT_EQ(train->size(), 4);
  EXPECT_EQ(train->shape(), (ImageShape{1, 2, 1}));
  EXPECT_EQ(train->sample(2).image[0][1][0].item<int>(), 'f');
  EXPECT_EQ(train->sample(3).label, 2);
  EXPECT_EQ(test->size(), 2);
  EXPECT_EQ(test->sample(0).label, 1);
  EXPECT_EQ(test->class_names(), (std::vector<std::string>{"0", "1", "2"}));
}

TEST(IdxFolder, RefusesFilesThatDoNotBelongTogether) {
  const core::TemporaryDirectory folder;
  const auto open = [&](IdxPart part) { return [&, part] { open_idx_folder(folder.path(), part, "tiny"); }; };
  EXPECT_TRUE(
      contains(message_of<IoError>(open(IdxPart::train)), "no train-images-idx3-ubyte, with .gz or without, in"));
  write_tiny_folder(folder.path());
  core::write_file(folder.path() / "t10k-labels-idx1-ubyte", idx_file({2}, std::string("\1\3", 2)));
  EXPECT_TRUE(contains(message_of<IoError>(open(IdxPart::test)), "the label of sample 1 must be less than 3"));
  core::write_file(folder.path() / "t10k-labels-idx1-ubyte", idx_file({3}, std::string("\1\1\1", 3)));
  EXPECT_TRUE(contains(message_of<IoError>(open(IdxPart::test)), "got 3 labels for 2 images"));
  core::write_file(folder.path() / "train-labels-idx1-ubyte", idx_file({2, 2}, std::string("\0\2\1\2", 4)));
  EXPECT_TRUE(contains(message_of<IoError>(open(IdxPart::train)), "must hold labels [N], got dimensions [2, 2]"));
}

TEST(FindFashionMnist, TakesWhatTheUserNamesAndNothingElse) {
  const core::TemporaryDirectory folder;
  write_tiny_folder(folder.path() / "named");
  write_tiny_folder(folder.path() / "root" / "fashion-mnist");
  core::create_directories(folder.path() / "empty");
  const std::string root = (folder.path() / "root").string(), empty = (folder.path() / "empty").string();
  {
    const ScopedEnvironment data("LIMBECK_DATA", root.c_str());
    EXPECT_EQ(find_fashion_mnist(), folder.path() / "root" / "fashion-mnist");
    EXPECT_EQ(find_fashion_mnist(folder.path() / "named"), folder.path() / "named");
    const std::string message = message_of<IoError>([&] { find_fashion_mnist(empty); });
    EXPECT_TRUE(contains(message, empty) && contains(message, "dataset-fashion-mnist")) << message;
  }
  const ScopedEnvironment data("LIMBECK_DATA", empty.c_str());
  EXPECT_TRUE(contains(message_of<IoError>([] { find_fashion_mnist(); }), "where LIMBECK_DATA points"));
}

TEST(FindFashionMnist, LooksBelowTheSourceFolder) {
  const core::TemporaryDirectory folder;
  const fs::path unpacked = folder.path() / "build" / "data" / "fashion-mnist";
  write_tiny_folder(unpacked);
  const fs::path old = fs::current_path();
  fs::current_path(fs::temp_directory_path());
  const ScopedEnvironment data("LIMBECK_DATA", nullptr);
  const ScopedEnvironment source("LIMBECK_SOURCE", folder.path().c_str());
  EXPECT_EQ(find_fashion_mnist(), unpacked);
  fs::current_path(old);
}

TEST(FashionMnist, IsTheRealData) {
  const auto train = open_dataset("fashion-mnist");
  const auto test = open_dataset("fashion-mnist", {.split = Split::test});
  EXPECT_EQ(train->size(), 60'000);
  EXPECT_EQ(test->size(), 10'000);
  EXPECT_EQ(test->shape(), (ImageShape{1, 28, 28}));
  EXPECT_EQ(test->class_names()[9], "Ankle boot");
  EXPECT_EQ(test->sample(0).label, 9);
  std::vector<int> per_class(10);
  for (std::int64_t i = 0; i < test->size(); ++i) ++per_class[static_cast<std::size_t>(test->pixels()->labels[i])];
  EXPECT_EQ(per_class, std::vector<int>(10, 1000));
  // The values that everyone normalizes this data with.
  const Normalize statistics = channel_statistics(*train);
  EXPECT_NEAR(statistics.mean[0], 0.2860, 5e-5);
  EXPECT_NEAR(statistics.stddev[0], 0.3530, 5e-5);
}

TEST(OpenDataset, HoldsValOutOfTrain) {
  const OpenOptions train{.val_size = 100}, val{.split = Split::val, .val_size = 100};
  const char* spec = "synthetic:4x1x8x8?n=400&n_test=50";
  EXPECT_EQ(open_dataset(spec, train)->size(), 300);
  EXPECT_EQ(open_dataset(spec, val)->size(), 100);
  EXPECT_EQ(open_dataset(spec, {.split = Split::test, .val_size = 100})->size(), 50);
  const std::string message = message_of<InvalidArgument>([&] { open_dataset(spec, {.split = Split::val}); });
  EXPECT_TRUE(contains(message, "has no val split of its own: say with val_size")) << message;
}

TEST(OpenDataset, NamesTheNearestOfAnUnknownName) {
  EXPECT_TRUE(
      contains(message_of<InvalidArgument>([] { open_dataset("fashion_mnist"); }), "did you mean fashion-mnist?"));
  EXPECT_TRUE(
      contains(message_of<InvalidArgument>([] { open_dataset("sinthetic:2x1x2x2"); }), "did you mean synthetic:?"));
  EXPECT_THROW(open_dataset(""), InvalidArgument);
}

TEST(ParseSplit, KnowsThree) {
  EXPECT_EQ(parse_split("val"), Split::val);
  EXPECT_THROW(parse_split("validation"), InvalidArgument);
}

TEST(Synthetic, ParsesItsSpec) {
  const SyntheticSpec spec = parse_synthetic_spec("7x3x16x20?n=90&seed=5&noise=0");
  EXPECT_EQ(spec.classes, 7);
  EXPECT_EQ(spec.shape, (ImageShape{3, 16, 20}));
  EXPECT_EQ(spec.num_train, 90);
  EXPECT_EQ(spec.num_test, 90);
  EXPECT_EQ(spec.seed, 5U);
  EXPECT_EQ(parse_synthetic_spec("2x1x4x4?n_test=3").num_test, 3);
}

TEST(Synthetic, RefusesBadSpecs) {
  for (const char* bad : {"", "10", "10x1x28", "10x1x28x28x1", "10x1x28xa", "0x1x28x28", "10x0x28x28", "10x1x-1x28",
                          "10x1x28x28?n=0", "10x1x28x28?n=1e3", "10x1x28x28?noise=256", "10x1x28x28?n",
                          "10x16384x16384x16384", "10x1x28x28?n=9223372036854775807", "99999999999999999999x1x1x1"}) {
    EXPECT_THROW(parse_synthetic_spec(bad), InvalidArgument) << bad;
  }
  const std::string message = message_of<InvalidArgument>([] { parse_synthetic_spec("2x1x4x4?sed=1"); });
  EXPECT_TRUE(contains(message, "has no key 'sed'. Nearest: seed")) << message;
}

at::Tensor all_images(const Dataset& dataset) {
  std::vector<at::Tensor> images;
  for (std::int64_t i = 0; i < dataset.size(); ++i) images.push_back(dataset.sample(i).image);
  return at::stack(images);
}

TEST(Synthetic, DependsOnSeedAndPartAlone) {
  const SyntheticSpec spec = parse_synthetic_spec("5x2x9x7?n=20"), other = parse_synthetic_spec("5x2x9x7?n=20&seed=1");
  const at::Tensor train = all_images(*synthetic_dataset(spec, SyntheticPart::train));
  EXPECT_TRUE(at::equal(train, all_images(*synthetic_dataset(spec, SyntheticPart::train))));
  EXPECT_FALSE(at::equal(train, all_images(*synthetic_dataset(spec, SyntheticPart::test))));
  EXPECT_FALSE(at::equal(train, all_images(*synthetic_dataset(other, SyntheticPart::train))));
  const auto longer = synthetic_dataset(parse_synthetic_spec("5x2x9x7?n=30"), SyntheticPart::train);
  EXPECT_TRUE(at::equal(train, all_images(*longer).slice(0, 0, 20)))
      << "a sample does not depend on how many there are";
}

TEST(Synthetic, ClassesCanBeToldApart) {
  // Nearest mean of the training images: far above chance on test images, yet not perfect by construction.
  const SyntheticSpec spec = parse_synthetic_spec("10x1x16x16?n=1000");
  const auto train = synthetic_dataset(spec, SyntheticPart::train), test = synthetic_dataset(spec, SyntheticPart::test);
  const at::Tensor means = all_images(*train).to(at::kFloat).view({100, 10, 256}).mean(0);
  const at::Tensor distances = at::cdist(all_images(*test).to(at::kFloat).view({1000, 256}), means);
  const at::Tensor labels = at::arange(1000, at::kLong).remainder(10);
  EXPECT_GT(distances.argmin(1).eq(labels).to(at::kFloat).mean().item<float>(), 0.8F);
}

TEST(Synthetic, ServesSinglePixelImages) {
  const auto dataset = synthetic_dataset(parse_synthetic_spec("1x1x1x1?n=1"), SyntheticPart::train);
  EXPECT_EQ(dataset->sample(0).image.numel(), 1);
}

}  // namespace
}  // namespace limbeck::data
