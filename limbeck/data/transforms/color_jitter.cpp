#include "limbeck/data/transforms/color_jitter.h"

#include "limbeck/data/transforms/pixels/color.h"
#include "limbeck/data/transforms/ranges.h"

#include <algorithm>
#include <limits>

namespace limbeck::data {
namespace {

constexpr double kMaxFactor = 1e6;

// {x} as {centre - x, centre + x}, the lower end at least `lowest`.
std::vector<double> to_range(const std::vector<double>& option, double centre, double lowest) {
  if (option.size() != 1) return option;
  return {std::max(centre - option[0], lowest), centre + option[0]};
}

void check_option(const std::vector<double>& option, double lowest, double highest, const char* name) {
  if (option.empty()) return;
  if (option.size() == 1) check_range({0, option[0]}, 0, highest, name);
  if (option.size() != 1) check_range(option, lowest, highest, name);
}

std::optional<double> draw_factor(const std::vector<double>& range, core::Rng& rng) {
  if (range.empty()) return std::nullopt;
  return rng.uniform(range[0], range[1]);
}

}  // namespace

void check(const ColorJitter& jitter) {
  check_option(jitter.brightness, 0, kMaxFactor, "color_jitter: brightness");
  check_option(jitter.contrast, 0, kMaxFactor, "color_jitter: contrast");
  check_option(jitter.saturation, 0, kMaxFactor, "color_jitter: saturation");
  check_option(jitter.hue, -0.5, 0.5, "color_jitter: hue");
}

ColorChange draw(const ColorJitter& jitter, const SampleKey& key, std::size_t place) {
  core::Rng rng = stream(key, place);
  ColorChange change;
  const auto order = core::permutation(4, rng);
  std::transform(order.begin(), order.end(), change.order.begin(), [](std::int64_t i) { return static_cast<int>(i); });
  change.brightness = draw_factor(to_range(jitter.brightness, 1, 0), rng);
  change.contrast = draw_factor(to_range(jitter.contrast, 1, 0), rng);
  change.saturation = draw_factor(to_range(jitter.saturation, 1, 0), rng);
  change.hue = draw_factor(to_range(jitter.hue, 0, -0.5), rng);
  return change;
}

at::Tensor apply(const ColorChange& change, const at::Tensor& image) {
  at::Tensor result = image;
  for (const int step : change.order) {
    if (step == 0 && change.brightness) result = adjust_brightness(result, *change.brightness);
    if (step == 1 && change.contrast) result = adjust_contrast(result, *change.contrast);
    if (step == 2 && change.saturation) result = adjust_saturation(result, *change.saturation);
    if (step == 3 && change.hue) result = adjust_hue(result, *change.hue);
  }
  return result;
}

}  // namespace limbeck::data
