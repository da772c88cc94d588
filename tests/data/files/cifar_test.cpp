#include "limbeck/data/files/cifar.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/data/open_dataset.h"
#include "tests/support/mutation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace limbeck::data {
namespace {

namespace fs = std::filesystem;

const std::string kFolder = LIMBECK_SOURCE_DIR "/tests/data/cifar";

CifarRecords parse(const std::string& file, CifarLabels labels = CifarLabels::ten) {
  CifarRecords records;
  parse_cifar({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()}, "batch", labels, records);
  return records;
}

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const IoError& error) {
    return error.what();
  }
  return "accepted";
}

// Image `index` of Fashion-MNIST as make_cifar.py colours it.
at::Tensor coloured(const Dataset& fashion, std::int64_t index) {
  const at::Tensor image = at::constant_pad_nd(fashion.sample(index).image, {2, 2, 2, 2});
  return at::cat({image, 255 - image, image.floor_divide(2)});
}

TEST(Cifar, ReadsTheImagesOfAllBatchesInOrder) {
  const auto fashion = open_dataset("fashion-mnist");
  const auto train = open_dataset("cifar10:" + kFolder);
  ASSERT_EQ(train->size(), 10);
  EXPECT_EQ(train->shape(), (ImageShape{3, 32, 32}));
  EXPECT_EQ(train->class_names()[9], "truck");
  EXPECT_EQ(train->num_classes(), 10);
  for (std::int64_t i = 0; i < train->size(); ++i) {
    EXPECT_EQ(train->label(i), fashion->label(i));
    EXPECT_TRUE(at::equal(train->sample(i).image, coloured(*fashion, i))) << i;
  }
}

TEST(Cifar, ReadsTheTestBatchFromTheInnerFolderToo) {
  const auto fashion = open_dataset("fashion-mnist", {.split = Split::test});
  for (const std::string& folder : {kFolder, kFolder + "/cifar-10-batches-bin"}) {
    const auto test = open_dataset("cifar10:" + folder, {.split = Split::test});
    ASSERT_EQ(test->size(), 3);
    EXPECT_TRUE(at::equal(test->sample(2).image, coloured(*fashion, 2)));
  }
}

TEST(Cifar, ReadsFineAndCoarseLabels) {
  const auto fashion = open_dataset("fashion-mnist");
  const auto fine = open_dataset("cifar100:" + kFolder),
             coarse = open_dataset("cifar100:" + kFolder + "?labels=coarse");
  ASSERT_EQ(fine->size(), 4);
  EXPECT_EQ(fine->num_classes(), 100);
  EXPECT_EQ(coarse->num_classes(), 20);
  EXPECT_EQ(fine->class_names()[99], "fine 99");
  EXPECT_EQ(coarse->class_names()[7], "coarse 7");
  for (std::int64_t i = 0; i < 4; ++i) {
    const std::int64_t label = fashion->label(i);
    EXPECT_EQ(fine->label(i), 10 * label + i);
    EXPECT_EQ(coarse->label(i), 2 * label + i % 2);
    EXPECT_TRUE(at::equal(fine->sample(i).image, coloured(*fashion, i)));
  }
}

TEST(Cifar, NumbersClassesWithoutAFileOfNames) {
  const core::TemporaryDirectory folder;
  fs::copy_file(kFolder + "/cifar-10-batches-bin/test_batch.bin", folder.path() / "test_batch.bin");
  const auto test = open_cifar(folder.path(), CifarLabels::ten, CifarPart::test, "test");
  EXPECT_EQ(test->class_names()[3], "3");
  core::write_file(folder.path() / "batches.meta.txt", "one\ntwo\n");
  EXPECT_NE(refusal([&] {
              open_cifar(folder.path(), CifarLabels::ten, CifarPart::test, "test");
            }).find("must name 10 classes, one a line, got 2"),
            std::string::npos);
}

TEST(Cifar, SaysWhatIsMissing) {
  const core::TemporaryDirectory folder;
  EXPECT_NE(refusal([&] { open_dataset("cifar10:" + folder.path().string()); }).find("no test_batch.bin in"),
            std::string::npos);
  fs::copy_file(kFolder + "/cifar-10-batches-bin/test_batch.bin", folder.path() / "test_batch.bin");
  EXPECT_NE(refusal([&] { open_dataset("cifar10:" + folder.path().string()); }).find("data_batch_1.bin"),
            std::string::npos);
}

TEST(ParseCifar, RefusesOtherLengthsAndLabels) {
  const std::string record(3073, '\1');
  EXPECT_EQ(parse(record + record).labels, (std::vector<std::int64_t>{1, 1}));
  EXPECT_EQ(refusal([&] { parse(record.substr(1)); }),
            "[data] batch must consist of records of 3073 bytes, got 3072 bytes. Fetch the binary version again.");
  EXPECT_NE(refusal([] { parse(""); }), "accepted");
  EXPECT_NE(
      refusal([&] { parse(record + std::string(3073, '\x0a')); }).find("the label of record 1 must be less than 10"),
      std::string::npos);
  EXPECT_NE(refusal([] { parse(std::string(3074, '\x64'), CifarLabels::fine); }), "accepted");
  EXPECT_NE(refusal([] { parse(std::string(3074, '\x14'), CifarLabels::coarse); }), "accepted");
  EXPECT_EQ(parse(std::string(3074, '\x14'), CifarLabels::fine).labels[0], 20);
}

TEST(ParseCifarFuzz, SurvivesMutations) {
  for (const CifarLabels labels : {CifarLabels::ten, CifarLabels::fine}) {
    const std::string file(labels == CifarLabels::ten ? 2 * 3073 : 2 * 3074, '\2');
    const auto counts = testing::fuzz_reader(file, [&](const std::string& mutant) {
      const CifarRecords records = parse(mutant, labels);
      ASSERT_EQ(records.pixels.size(), records.labels.size() * 3072);
      for (const std::int64_t label : records.labels) ASSERT_LT(label, labels == CifarLabels::ten ? 10 : 100);
    });
    EXPECT_GT(counts.accepted, 0);
    EXPECT_GT(counts.refused, 0);
  }
}

}  // namespace
}  // namespace limbeck::data
