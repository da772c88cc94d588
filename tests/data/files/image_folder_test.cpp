#include "limbeck/data/files/image_folder.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/data/fingerprint.h"
#include "limbeck/data/loader.h"
#include "limbeck/data/open_dataset.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <sstream>

namespace limbeck::data {
namespace {

namespace fs = std::filesystem;

const std::string kImages = LIMBECK_SOURCE_DIR "/tests/data/images/";

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void put(const fs::path& path, const std::string& content = "") {
  core::create_directories(path.parent_path());
  core::write_file(path, content);
}

void put_image(const fs::path& path, const std::string& image) {
  core::create_directories(path.parent_path());
  fs::copy_file(kImages + image, path, fs::copy_options::overwrite_existing);
}

// Two classes in train, of which test shows one.
void write_folder(const fs::path& root) {
  put_image(root / "train" / "cat" / "1.jpg", "exif_6.jpg");
  put_image(root / "train" / "cat" / "2.PNG", "rgb.png");
  put_image(root / "train" / "dog" / "deeper" / "1.jpeg", "gray.jpg");
  put_image(root / "test" / "dog" / "1.png", "palette.png");
}

TEST(ImageFolder, HasTheOrderOfTorchvision) {
  const core::TemporaryDirectory folder;
  std::vector<std::string> expected;
  std::istringstream lines(core::read_file(LIMBECK_SOURCE_DIR "/tests/data/folder_order.txt"));
  for (std::string line; std::getline(lines, line);) {
    put(folder.path() / line.substr(line.find(' ') + 1));
    if (line[0] != '-') expected.push_back(line);
  }
  ASSERT_EQ(expected.size(), 20U);
  const auto dataset = open_image_folder(folder.path(), "order");
  std::vector<std::string> got;
  for (std::int64_t i = 0; i < dataset->size(); ++i) {
    const auto path = fs::relative(dataset->encoded(i)->name, folder.path()).string();
    got.push_back(fmt::format("{} {}", dataset->label(i), path));
  }
  EXPECT_EQ(got, expected);
  EXPECT_EQ(dataset->class_names(),
            (std::vector<std::string>{"10", "9", "Dog", "cat", "dog", "zoo-a", "zoo.b", "zoo_é"}));
}

TEST(ImageFolder, DecodesImagesOfAnySize) {
  const core::TemporaryDirectory folder;
  write_folder(folder.path());
  const auto train = open_dataset("folder:" + folder.path().string());
  ASSERT_EQ(train->size(), 3);
  EXPECT_TRUE(train->shape().is_open());
  EXPECT_EQ(to_string(train->shape()), "[3, H, W]");
  EXPECT_EQ(train->sample(0).image.sizes(), at::IntArrayRef({3, 50, 37})) << "turned upright";
  EXPECT_TRUE(at::equal(train->sample(1).image, read_image(kImages + "rgb.png", Channels::rgb)));
  EXPECT_EQ(train->sample(2).image.size(0), 3);
  EXPECT_EQ(train->sample(2).label, 1);
  EXPECT_THROW(train->sample(3), InvalidArgument);
  EXPECT_THROW(train->encoded(-1), InvalidArgument);
  const auto gray = open_dataset("folder:" + folder.path().string() + "?channels=1");
  EXPECT_EQ(gray->sample(0).image.size(0), 1);
  EXPECT_THROW(open_dataset("folder:" + folder.path().string() + "?channels=2"), InvalidArgument);
}

TEST(ImageFolder, LabelsTestAsTrain) {
  const core::TemporaryDirectory folder;
  write_folder(folder.path());
  const std::string spec = "folder:" + folder.path().string();
  const auto test = open_dataset(spec, {.split = Split::test});
  ASSERT_EQ(test->size(), 1);
  EXPECT_EQ(test->label(0), 1) << "dog, though the first class of test";
  EXPECT_EQ(test->class_names(), (std::vector<std::string>{"cat", "dog"}));
  put_image(folder.path() / "test" / "dogs" / "1.png", "palette.png");
  EXPECT_TRUE(contains(message_of([&] { open_dataset(spec, {.split = Split::test}); }),
                       "has a folder 'dogs', which is no class of the training images. Nearest: dog"));
}

TEST(ImageFolder, TakesValForTestWhereThereIsNoOther) {
  const core::TemporaryDirectory folder;
  write_folder(folder.path());
  fs::rename(folder.path() / "test", folder.path() / "val");
  const std::string spec = "folder:" + folder.path().string();
  EXPECT_EQ(open_dataset(spec, {.split = Split::test})->size(), 1);
  EXPECT_TRUE(contains(message_of([&] { open_dataset(spec, {.split = Split::val}); }), "no val split of its own"));
  put_image(folder.path() / "test" / "cat" / "1.png", "palette.png");
  put_image(folder.path() / "test" / "cat" / "2.png", "palette.png");
  EXPECT_EQ(open_dataset(spec, {.split = Split::test})->size(), 2);
  EXPECT_EQ(open_dataset(spec, {.split = Split::val})->size(), 1);
  EXPECT_EQ(open_dataset(spec, {.split = Split::val, .val_size = 2})->size(), 2) << "held out of train where asked for";
}

TEST(ImageFolder, SaysWhatIsWrongWithAFolder) {
  const core::TemporaryDirectory folder;
  const fs::path root = folder.path();
  const auto message = [&] { return message_of([&] { open_image_folder(root, "x"); }); };
  EXPECT_TRUE(contains(message(), "has no folders"));
  core::create_directories(root / "empty");
  EXPECT_TRUE(contains(message(), "class 'empty' of"));
  put(root / "empty" / "picture.webp");
  EXPECT_TRUE(contains(message(), "picture.webp is neither PNG nor JPEG. Convert it"));
  fs::remove(root / "empty" / "picture.webp");
  fs::create_directory_symlink(root, root / "empty" / "loop");
  EXPECT_TRUE(contains(message(), "more than 64 folders deep"));
  EXPECT_TRUE(contains(message_of([&] { open_image_folder(root / "nothing", "x"); }), "cannot be read"));
  EXPECT_TRUE(contains(message_of([&] { open_dataset("folder:" + root.string()); }), "has no folder 'train'"));
}

TEST(ImageFolder, NamesTheFileThatIsDamaged) {
  const core::TemporaryDirectory folder;
  put(folder.path() / "a" / "broken.jpg", "\xff\xd8\xff");
  const auto dataset = open_image_folder(folder.path(), "x");
  EXPECT_TRUE(contains(message_of([&] { dataset->sample(0); }), "a/broken.jpg cannot be read as JPEG"));
}

TEST(ImageFolder, HasAnotherFingerprintOnceAFileChanges) {
  const core::TemporaryDirectory folder;
  write_folder(folder.path());
  const auto hash = [&] { return fingerprint(*open_image_folder(folder.path() / "train", "x")); };
  const std::string before = hash();
  EXPECT_EQ(hash(), before);
  put_image(folder.path() / "train" / "cat" / "2.PNG", "rgba.png");
  EXPECT_NE(hash(), before);
}

TEST(ImageFolder, ServesSubsets) {
  const core::TemporaryDirectory folder;
  write_folder(folder.path());
  const auto last = subset(open_dataset("folder:" + folder.path().string()), {2}, "last");
  EXPECT_EQ(last->label(0), 1);
  EXPECT_TRUE(contains(last->encoded(0)->name, "1.jpeg"));
  EXPECT_TRUE(last->shape().is_open());
}

// Three classes of files of every kind, 21 in all.
void write_many_kinds(const fs::path& root) {
  int index = 0;
  for (const char* image : {"exif_1.jpg",
                            "exif_2.jpg",
                            "exif_3.jpg",
                            "exif_4.jpg",
                            "exif_5.jpg",
                            "exif_6.jpg",
                            "exif_7.jpg",
                            "exif_8.jpg",
                            "cmyk.jpg",
                            "ycck.jpg",
                            "progressive_420.jpg",
                            "progressive_gray.jpg",
                            "restarts.jpg",
                            "smooth.jpg",
                            "gray.jpg",
                            "palette_transparent.png",
                            "rgba.png",
                            "gray16.png",
                            "interlaced_gamma.png",
                            "one_bit.png",
                            "exif_6.png"}) {
    put_image(root / std::to_string(index % 3) / image, image);
    ++index;
  }
}

LoaderOptions crops(int num_workers) {
  return {.batch_size = 4,
          .shuffle = true,
          .num_workers = num_workers,
          .seed = 5,
          .transforms = {RandomResizedCrop{.size = {16}}, HorizontalFlip{}, Normalize{{0.5F}, {0.25F}}},
          .decode_scale = DecodeScale::scaled};
}

std::vector<Batch> collect(Loader& loader, std::int64_t end_epoch) {
  std::vector<Batch> batches;
  for (const Batch& batch : loader.epochs(end_epoch)) batches.push_back(batch);
  return batches;
}

TEST(LoaderOfFiles, GivesTheSameForAnyNumberOfWorkersAndAfterAnyResume) {
  const core::TemporaryDirectory folder;
  write_many_kinds(folder.path());
  const auto dataset = open_image_folder(folder.path(), "kinds");
  Loader alone(dataset, crops(0));
  const auto expected = collect(alone, 2);
  ASSERT_EQ(expected.size(), 12U);
  EXPECT_EQ(expected[0].x.sizes(), at::IntArrayRef({4, 3, 16, 16}));
  for (std::int64_t at = 0; at < 12; ++at) {
    Loader resumed(dataset, crops(at % 3 == 0 ? 4 : 1));
    resumed.seek({at / 6, at % 6});
    const auto rest = collect(resumed, 2);
    ASSERT_EQ(rest.size(), 12U - static_cast<std::size_t>(at));
    for (std::size_t i = 0; i < rest.size(); ++i) {
      EXPECT_TRUE(at::equal(rest[i].x, expected[static_cast<std::size_t>(at) + i].x));
      EXPECT_TRUE(at::equal(rest[i].y, expected[static_cast<std::size_t>(at) + i].y));
    }
  }
}

TEST(LoaderOfFiles, NamesOrSkipsADamagedFile) {
  const core::TemporaryDirectory folder;
  write_many_kinds(folder.path());
  const std::string content = core::read_file(folder.path() / "1" / "smooth.jpg");
  core::write_file(folder.path() / "1" / "smooth.jpg", content.substr(0, content.size() / 2));
  const auto dataset = open_image_folder(folder.path(), "kinds");
  for (const int workers : {0, 2}) {
    Loader strict(dataset, crops(workers));
    const std::string message = message_of([&] { collect(strict, 1); });
    EXPECT_TRUE(contains(message, "[data] sample ") && contains(message, "1/smooth.jpg cannot be read as JPEG"))
        << message;
    LoaderOptions options = crops(workers);
    options.on_error = OnError::skip;
    Loader tolerant(dataset, options);
    std::int64_t seen = 0;
    for (const Batch& batch : tolerant.epochs(1)) {
      seen += batch.size();
      for (const SkippedSample& one : batch.skipped) EXPECT_TRUE(contains(one.reason, "1/smooth.jpg")) << one.reason;
    }
    EXPECT_EQ(seen, 20);
    EXPECT_EQ(tolerant.num_skipped(), 1);
  }
}

TEST(LoaderOfFiles, NeedsTransformsThatMakeOneSize) {
  const core::TemporaryDirectory folder;
  write_many_kinds(folder.path());
  const auto dataset = open_image_folder(folder.path(), "kinds");
  EXPECT_THROW(Loader(dataset, {.batch_size = 2, .transforms = {Resize{.size = {16}}}}), InvalidArgument);
  Loader loader(dataset, {.batch_size = 2, .transforms = {Resize{.size = {16}}, CenterCrop{.size = {16}}}});
  EXPECT_EQ(loader.image_shape(), (ImageShape{3, 16, 16}));
}

}  // namespace
}  // namespace limbeck::data
