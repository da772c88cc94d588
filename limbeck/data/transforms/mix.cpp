#include "limbeck/data/transforms/mix.h"

#include "limbeck/core/error.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

namespace limbeck::data {
namespace {

// Place in RngKey::transform that no list of transforms reaches, and that of the loader's order is another.
constexpr std::size_t kMixPlace = 0xfffe;
constexpr double kMaxAlpha = 1e6;

// Marsaglia and Tsang 2000, "A simple method for generating gamma variables"; below 1 by their section 6.
double draw_gamma(double shape, core::Rng& rng) {
  if (shape < 1) {
    const double boost = std::pow(1 - rng.uniform(), 1 / shape);
    return draw_gamma(shape + 1, rng) * boost;
  }
  const double d = shape - 1. / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = rng.normal(), t = 1 + c * x;
    if (t <= 0) continue;
    const double v = t * t * t, u = 1 - rng.uniform();
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

double draw_beta(double alpha, core::Rng& rng) {
  if (alpha == 1) return rng.uniform();
  const double a = draw_gamma(alpha, rng), b = draw_gamma(alpha, rng);
  // Both underflow only where alpha is tiny, and Beta is then a coin.
  return a + b > 0 ? a / (a + b) : static_cast<double>(rng.bernoulli(0.5));
}

Mixture draw_from(const MixUp& mixup, const Size&, core::Rng& rng) {
  return {.lambda = draw_beta(mixup.alpha, rng), .box = std::nullopt};
}

Mixture draw_from(const CutMix& cutmix, const Size& size, core::Rng& rng) {
  const double lambda = draw_beta(cutmix.alpha, rng);
  const std::int64_t x = rng.between(0, size.width - 1), y = rng.between(0, size.height - 1);
  const double half = 0.5 * std::sqrt(1 - lambda);
  const auto half_width = static_cast<std::int64_t>(half * static_cast<double>(size.width));
  const auto half_height = static_cast<std::int64_t>(half * static_cast<double>(size.height));
  const std::int64_t left = std::max<std::int64_t>(x - half_width, 0);
  const std::int64_t top = std::max<std::int64_t>(y - half_height, 0);
  const Box box{.top = top,
                .left = left,
                .height = std::min(y + half_height, size.height) - top,
                .width = std::min(x + half_width, size.width) - left};
  const double share = static_cast<double>(box.height * box.width) / static_cast<double>(size.height * size.width);
  return {.lambda = 1 - share, .box = box};
}

// From the last sample to the first, so that each finds its neighbour unmixed; the first finds a copy of the last.
void mix_pixels(float* images, std::int64_t batch, std::int64_t numel, float lambda, float rest) {
  const std::vector<float> last(images + (batch - 1) * numel, images + batch * numel);
  for (std::int64_t i = batch - 1; i >= 0; --i) {
    float* own = images + i * numel;
    const float* other = i > 0 ? own - numel : last.data();
    for (std::int64_t k = 0; k < numel; ++k) own[k] = other[k] * rest + own[k] * lambda;
  }
}

}  // namespace

void check(const BatchTransform& transform) {
  const double alpha = std::visit([](const auto& one) { return one.alpha; }, transform);
  LIMBECK_CHECK(alpha > 0 && alpha <= kMaxAlpha,
                "[data] mixup and cutmix: alpha must be above 0 and at most {}, got {}.", kMaxAlpha, alpha);
}

Mixture draw(const MixUp& mixup, const Size& size, const SampleKey& key) {
  core::Rng rng = stream(key, kMixPlace);
  return draw_from(mixup, size, rng);
}

Mixture draw(const CutMix& cutmix, const Size& size, const SampleKey& key) {
  core::Rng rng = stream(key, kMixPlace);
  return draw_from(cutmix, size, rng);
}

Mixture draw(const std::vector<BatchTransform>& transforms, const Size& size, const SampleKey& key) {
  core::Rng rng = stream(key, kMixPlace);
  const BatchTransform& chosen = transforms[rng.below(transforms.size())];
  return std::visit([&](const auto& one) { return draw_from(one, size, rng); }, chosen);
}

void mix(const Mixture& mixture, at::Tensor& images) {
  const std::int64_t batch = images.size(0), numel = batch > 0 ? images.numel() / batch : 0;
  if (numel == 0) return;
  if (!mixture.box) {
    mix_pixels(images.mutable_data_ptr<float>(), batch, numel, static_cast<float>(mixture.lambda),
               static_cast<float>(1 - mixture.lambda));
    return;
  }
  const Box& box = *mixture.box;
  const at::Tensor part = images.narrow(2, box.top, box.height).narrow(3, box.left, box.width);
  part.copy_(part.roll(1, 0));
}

at::Tensor mixed_targets(const at::Tensor& labels, std::int64_t num_classes, double lambda) {
  const std::int64_t batch = labels.size(0);
  at::Tensor targets = at::zeros({batch, num_classes}, at::kFloat);
  const auto* label = labels.const_data_ptr<std::int64_t>();
  auto* out = targets.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < batch; ++i) {
    const std::int64_t before = label[i > 0 ? i - 1 : batch - 1];
    LIMBECK_CHECK(label[i] >= 0 && label[i] < num_classes, "[data] a label must lie in 0..{}, got {}.", num_classes - 1,
                  label[i]);
    out[i * num_classes + before] += static_cast<float>(1 - lambda);
    out[i * num_classes + label[i]] += static_cast<float>(lambda);
  }
  return targets;
}

}  // namespace limbeck::data
