#include "limbeck/data/synthetic.h"

#include "limbeck/core/error.h"
#include "limbeck/core/rng.h"
#include "limbeck/data/memory_dataset.h"

#include <ATen/ops/empty.h>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace limbeck::data {
namespace {

constexpr const char* kForm = "synthetic:CLASSESxCHANNELSxHEIGHTxWIDTH?n=N&n_test=N&noise=A&seed=S";
constexpr std::int64_t kMaxBytes = std::int64_t{4} << 30;
constexpr std::int64_t kMaxClasses = 100'000;
constexpr std::int64_t kMaxSide = 16'384;
constexpr std::int64_t kGrid = 4;    // cells a side of a class's pattern
constexpr std::int64_t kUnit = 256;  // fixed-point one

enum Stream : std::uint32_t { kPatternStream, kTrainStream, kTestStream };

template <class Integer>
Integer parse_integer(std::string_view text, std::string_view what) {
  Integer value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  LIMBECK_CHECK(error == std::errc{} && end == text.data() + text.size(),
                "[data] {} of a synthetic dataset must be a whole number, got '{}'. Write {}.", what, text, kForm);
  return value;
}

// Splits off what precedes `separator`; the rest stays in `text`.
std::string_view split_off(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  const std::string_view head = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view{} : text.substr(at + 1);
  return head;
}

void set_key(SyntheticSpec& spec, std::string_view key, std::string_view value, bool& has_num_test) {
  static const std::vector<std::string> kKeys{"n", "n_test", "noise", "seed"};
  if (key == "n") {
    spec.num_train = parse_integer<std::int64_t>(value, key);
  } else if (key == "n_test") {
    spec.num_test = parse_integer<std::int64_t>(value, key);
    has_num_test = true;
  } else if (key == "noise") {
    spec.noise = parse_integer<std::int64_t>(value, key);
  } else if (key == "seed") {
    spec.seed = parse_integer<std::uint64_t>(value, key);
  } else {
    fail<InvalidArgument>("[data] a synthetic dataset has no key '{}'.{} Write {}.", key, nearest_hint(key, kKeys),
                          kForm);
  }
}

// A coarse random grid, periodic in both directions and interpolated linearly: [C, H, W] of 0..255.
std::vector<std::uint8_t> class_pattern(const SyntheticSpec& spec, std::int64_t label) {
  const auto [channels, height, width] = spec.shape;
  core::Rng rng({.seed = spec.seed, .sample = static_cast<std::uint64_t>(label), .transform = kPatternStream});
  std::vector<std::uint8_t> pattern;
  pattern.reserve(static_cast<std::size_t>(spec.shape.numel()));
  for (std::int64_t c = 0; c < channels; ++c) {
    std::int64_t grid[kGrid][kGrid];
    for (auto& row : grid) {
      for (auto& cell : row) cell = static_cast<std::int64_t>(rng.below(256));
    }
    for (std::int64_t y = 0; y < height; ++y) {
      const std::int64_t v = y * kGrid * kUnit / height, cell_y = v / kUnit, part_y = v % kUnit;
      for (std::int64_t x = 0; x < width; ++x) {
        const std::int64_t u = x * kGrid * kUnit / width, cell_x = u / kUnit, part_x = u % kUnit;
        const auto along_x = [&](std::int64_t row) {
          return grid[row][cell_x] * (kUnit - part_x) + grid[row][(cell_x + 1) % kGrid] * part_x;
        };
        const std::int64_t value = along_x(cell_y) * (kUnit - part_y) + along_x((cell_y + 1) % kGrid) * part_y;
        pattern.push_back(static_cast<std::uint8_t>(value / (kUnit * kUnit)));
      }
    }
  }
  return pattern;
}

// How one sample shows its class's pattern.
struct View {
  std::int64_t down;
  std::int64_t right;
  std::int64_t contrast;  // in units of 1/kUnit: a half to one
};

View draw_view(const ImageShape& shape, core::Rng& rng) {
  const std::int64_t reach_y = shape.height / 8, reach_x = shape.width / 8;
  const std::int64_t down = rng.between(-reach_y, reach_y);
  const std::int64_t right = rng.between(-reach_x, reach_x);
  return {down, right, rng.between(kUnit / 2, kUnit)};
}

// Four random bytes a word: a number drawn for every pixel would take most of the time.
class NoiseSource {
 public:
  NoiseSource(core::Rng& rng, std::int64_t amplitude) : rng_(rng), span_(2 * amplitude + 1), amplitude_(amplitude) {}

  std::int64_t next() {
    if (num_left_ == 0) {
      word_ = rng_.next_u32();
      num_left_ = 4;
    }
    const std::int64_t byte = word_ & 0xff;
    word_ >>= 8;
    --num_left_;
    return byte * span_ / 256 - amplitude_;
  }

 private:
  core::Rng& rng_;
  std::int64_t span_;
  std::int64_t amplitude_;
  std::uint32_t word_ = 0;
  int num_left_ = 0;
};

void draw_sample(const SyntheticSpec& spec, const std::vector<std::uint8_t>& pattern, core::Rng& rng,
                 std::uint8_t* image) {
  const auto [channels, height, width] = spec.shape;
  const View view = draw_view(spec.shape, rng);
  NoiseSource noise(rng, spec.noise);
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t y = 0; y < height; ++y) {
      const std::uint8_t* row = pattern.data() + (c * height + (y + view.down + height) % height) * width;
      for (std::int64_t x = 0; x < width; ++x) {
        const std::int64_t deviation = (row[(x + view.right + width) % width] - 128) * view.contrast / kUnit;
        *image++ = static_cast<std::uint8_t>(std::clamp<std::int64_t>(128 + deviation + noise.next(), 0, 255));
      }
    }
  }
}

}  // namespace

void SyntheticSpec::validate() const {
  LIMBECK_CHECK(classes >= 1 && classes <= kMaxClasses, "[data] a synthetic dataset has 1 to {} classes, got {}.",
                kMaxClasses, classes);
  for (const std::int64_t side : {shape.channels, shape.height, shape.width}) {
    LIMBECK_CHECK(side >= 1 && side <= kMaxSide, "[data] a side of a synthetic image has 1 to {} pixels, got {}.",
                  kMaxSide, to_string(shape));
  }
  const std::int64_t largest = std::max({num_train, num_test, classes});
  LIMBECK_CHECK(num_train >= 1 && num_test >= 1, "[data] n and n_test must be at least 1, got {} and {}.", num_train,
                num_test);
  LIMBECK_CHECK(shape.numel() <= kMaxBytes && largest <= kMaxBytes / shape.numel(),
                "[data] {} synthetic images {} exceed {} bytes. Ask for fewer.", largest, to_string(shape), kMaxBytes);
  LIMBECK_CHECK(noise >= 0 && noise <= 255, "[data] noise must lie in 0..255, got {}.", noise);
}

SyntheticSpec parse_synthetic_spec(std::string_view text) {
  SyntheticSpec spec;
  std::string_view sizes = split_off(text, '?');
  LIMBECK_CHECK(std::count(sizes.begin(), sizes.end(), 'x') == 3,
                "[data] a synthetic dataset needs four sizes, got '{}'. Write {}.", sizes, kForm);
  spec.classes = parse_integer<std::int64_t>(split_off(sizes, 'x'), "the number of classes");
  spec.shape.channels = parse_integer<std::int64_t>(split_off(sizes, 'x'), "the number of channels");
  spec.shape.height = parse_integer<std::int64_t>(split_off(sizes, 'x'), "the height");
  spec.shape.width = parse_integer<std::int64_t>(sizes, "the width");
  bool has_num_test = false;
  while (!text.empty()) {
    std::string_view value = split_off(text, '&');
    const std::string_view key = split_off(value, '=');
    set_key(spec, key, value, has_num_test);
  }
  if (!has_num_test) spec.num_test = spec.num_train;
  spec.validate();
  return spec;
}

std::shared_ptr<const Dataset> synthetic_dataset(const SyntheticSpec& spec, SyntheticPart part) {
  spec.validate();
  const auto [channels, height, width] = spec.shape;
  const bool is_train = part == SyntheticPart::train;
  const std::int64_t count = is_train ? spec.num_train : spec.num_test;
  std::vector<std::vector<std::uint8_t>> patterns;
  for (std::int64_t label = 0; label < std::min(spec.classes, count); ++label) {
    patterns.push_back(class_pattern(spec, label));
  }
  at::Tensor images = at::empty({count, channels, height, width}, at::kByte);
  at::Tensor labels = at::empty({count}, at::kLong);
  auto* image = images.mutable_data_ptr<std::uint8_t>();
  auto* label = labels.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < count; ++i, image += spec.shape.numel()) {
    label[i] = i % spec.classes;
    core::Rng rng({.seed = spec.seed,
                   .sample = static_cast<std::uint64_t>(i),
                   .transform = is_train ? kTrainStream : kTestStream});
    draw_sample(spec, patterns[static_cast<std::size_t>(label[i])], rng, image);
  }
  std::string name =
      fmt::format("synthetic:{}x{}x{}x{}/{}", spec.classes, channels, height, width, is_train ? "train" : "test");
  return memory_dataset(std::move(name), images, labels, numbered_class_names(spec.classes));
}

}  // namespace limbeck::data
