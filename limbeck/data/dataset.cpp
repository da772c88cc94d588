#include "limbeck/data/dataset.h"

#include "limbeck/core/error.h"
#include "limbeck/core/hash.h"
#include "limbeck/core/rng.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace limbeck::data {
namespace {

class Subset final : public Dataset {
 public:
  Subset(std::shared_ptr<const Dataset> whole, std::vector<std::int64_t> rows, std::string name)
      : whole_(std::move(whole)), rows_(std::move(rows)), name_(std::move(name)) {
    if (const auto view = whole_->pixels()) {
      memory_rows_.reserve(rows_.size());
      for (const std::int64_t row : rows_) memory_rows_.push_back(view->row(row));
    }
  }

  std::string name() const override { return name_; }
  std::int64_t size() const override { return static_cast<std::int64_t>(rows_.size()); }
  ImageShape shape() const override { return whole_->shape(); }
  const std::vector<std::string>& class_names() const override { return whole_->class_names(); }

  Sample sample(std::int64_t index) const override { return whole_->sample(row(index)); }
  std::int64_t label(std::int64_t index) const override { return whole_->label(row(index)); }
  std::optional<EncodedSample> encoded(std::int64_t index) const override { return whole_->encoded(row(index)); }

  std::string identity() const override {
    core::Sha256 hash;
    hash.update(std::as_bytes(std::span(rows_)));
    return fmt::format("{} of {}", hash.finish_hex(), whole_->identity());
  }

  std::optional<PixelView> pixels() const override {
    auto view = whole_->pixels();
    if (view && !rows_.empty()) view->rows = memory_rows_;
    return view;
  }

 private:
  std::int64_t row(std::int64_t index) const {
    LIMBECK_CHECK(index >= 0 && index < size(), "[data] {} has {} samples, no sample {}.", name_, size(), index);
    return rows_[static_cast<std::size_t>(index)];
  }

  std::shared_ptr<const Dataset> whole_;
  std::vector<std::int64_t> rows_;         // indices into whole_
  std::vector<std::int64_t> memory_rows_;  // the same as rows of its memory
  std::string name_;
};

}  // namespace

std::string to_string(const ImageShape& shape) {
  if (shape.is_open()) return fmt::format("[{}, H, W]", shape.channels);
  return fmt::format("[{}, {}, {}]", shape.channels, shape.height, shape.width);
}

std::shared_ptr<const Dataset> subset(std::shared_ptr<const Dataset> whole, std::vector<std::int64_t> rows,
                                      std::string name) {
  const std::int64_t size = whole->size();
  for (const std::int64_t row : rows) {
    LIMBECK_CHECK(row >= 0 && row < size, "[data] {} has {} samples, no sample {}.", whole->name(), size, row);
  }
  return std::make_shared<Subset>(std::move(whole), std::move(rows), std::move(name));
}

std::shared_ptr<const Dataset> take(std::shared_ptr<const Dataset> whole, std::int64_t count) {
  LIMBECK_CHECK(count >= 0 && count <= whole->size(), "[data] {} has {} samples, cannot take {}.", whole->name(),
                whole->size(), count);
  std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  std::string name = fmt::format("{}[:{}]", whole->name(), count);
  return subset(std::move(whole), std::move(rows), std::move(name));
}

std::shared_ptr<const Dataset> spread(std::shared_ptr<const Dataset> whole, std::int64_t count) {
  LIMBECK_CHECK(count > 0, "[data] some samples of {} must be taken, not {}.", whole->name(), count);
  const std::int64_t size = whole->size();
  if (size <= count) return whole;
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < count; ++i) rows.push_back(i * size / count);
  std::string name = fmt::format("{}[{} of {}]", whole->name(), count, size);
  return subset(std::move(whole), std::move(rows), std::move(name));
}

HeldOut hold_out(const std::shared_ptr<const Dataset>& whole, std::int64_t val_size) {
  LIMBECK_CHECK(val_size > 0 && val_size < whole->size(),
                "[data] val_size must lie in 1..{}, so that {} is cut in two, got {}.", whole->size() - 1,
                whole->name(), val_size);
  constexpr std::uint64_t kHoldOutSeed = 0;  // fixed: the slice is part of the data, not of a run
  core::Rng rng({.seed = kHoldOutSeed});
  std::vector<std::int64_t> order = core::permutation(whole->size(), rng);
  const auto cut = order.begin() + val_size;
  std::sort(order.begin(), cut);
  std::sort(cut, order.end());
  return {subset(whole, {cut, order.end()}, whole->name() + "-held-out"),
          subset(whole, {order.begin(), cut}, whole->name() + "/val")};
}

}  // namespace limbeck::data
