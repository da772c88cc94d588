#include "limbeck/data/transforms/pixels/resize.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"

namespace limbeck::data {
namespace {

TEST(Resize, AveragesWhenItShrinksAndInterpolatesWhenItGrows) {
  const auto bilinear = [](const at::Tensor& image, const Size& size) {
    return resize(image, size, Interpolation::bilinear);
  };
  const at::Tensor checks = at::tensor({0, 200, 200, 0}, at::kByte).view({1, 2, 2});
  EXPECT_TRUE(at::equal(bilinear(checks, {1, 1}), at::full({1, 1, 1}, 100, at::kByte)));
  EXPECT_TRUE(at::equal(bilinear(checks, {2, 2}), checks));
  const at::Tensor wide = bilinear(at::tensor({0, 200}, at::kByte).view({1, 1, 2}), {1, 4});
  EXPECT_TRUE(at::equal(wide, at::tensor({0, 50, 150, 200}, at::kByte).view({1, 1, 4})));
  EXPECT_EQ(bilinear(at::zeros({3, 7, 5}, at::kByte), {9, 2}).sizes(), at::IntArrayRef({3, 9, 2}));
  const at::Tensor floats = bilinear(checks.to(at::kFloat), {1, 1});
  EXPECT_FLOAT_EQ(floats.item<float>(), 100);
  EXPECT_THROW(bilinear(checks.to(at::kInt), {1, 1}), InvalidArgument);
  EXPECT_THROW(bilinear(checks, {0, 1}), InvalidArgument);
  EXPECT_THROW(bilinear(at::zeros({1, 0, 2}, at::kByte), {1, 1}), InvalidArgument);
}

TEST(Resize, IsTheSameForEveryMemoryFormat) {
  const at::Tensor image = at::arange(3 * 20 * 30).mul(37).remainder(256).to(at::kByte).view({3, 20, 30});
  for (const Interpolation how : {Interpolation::nearest, Interpolation::bilinear, Interpolation::bicubic}) {
    const at::Tensor interleaved = image.permute({1, 2, 0}).contiguous().permute({2, 0, 1});
    const at::Tensor expected = resize(image, {7, 11}, how);
    EXPECT_TRUE(at::equal(resize(interleaved, {7, 11}, how), expected));
    EXPECT_EQ(resize(interleaved, {7, 11}, how).stride(0), 1) << "bytes stay interleaved, without a copy";
    const at::Tensor part = interleaved.narrow(1, 2, 9).narrow(2, 3, 13);
    EXPECT_TRUE(at::equal(resize(part, {7, 11}, how), resize(part.contiguous(), {7, 11}, how)));
  }
}

TEST(ResizedSize, KeepsTheAspectRatio) {
  EXPECT_EQ(resized_size({480, 640}, {256}, 0), (Size{256, 341}));
  EXPECT_EQ(resized_size({640, 480}, {256}, 0), (Size{341, 256}));
  EXPECT_EQ(resized_size({100, 100}, {256}, 0), (Size{256, 256}));
  EXPECT_EQ(resized_size({480, 640}, {64, 32}, 0), (Size{64, 32}));
  EXPECT_EQ(resized_size({100, 1000}, {50}, 0), (Size{50, 500}));
  EXPECT_EQ(resized_size({100, 1000}, {50}, 200), (Size{20, 200}));
  EXPECT_EQ(resized_size({17, 4000}, {17}, 0), (Size{17, 4000}));
  EXPECT_THROW(resized_size({17, 4000}, {17}, 100), InvalidArgument) << "the shorter side would vanish";
  EXPECT_THROW(resized_size({1, 4000}, {256}, 0), InvalidArgument) << "the longer side would be endless";
  EXPECT_THROW(resized_size({4, 4}, {}, 0), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::data
