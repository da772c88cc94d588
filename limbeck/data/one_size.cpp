#include "limbeck/data/one_size.h"

#include "limbeck/core/error.h"
#include "limbeck/data/files/encoded_image.h"

#include <fmt/format.h>

#include <utility>

namespace limbeck::data {
namespace {

class Sized final : public Dataset {
 public:
  Sized(std::shared_ptr<const Dataset> whole, const ImageShape& shape) : whole_(std::move(whole)), shape_(shape) {}

  std::string name() const override { return whole_->name(); }
  std::int64_t size() const override { return whole_->size(); }
  ImageShape shape() const override { return shape_; }
  const std::vector<std::string>& class_names() const override { return whole_->class_names(); }
  Sample sample(std::int64_t index) const override { return whole_->sample(index); }
  std::int64_t label(std::int64_t index) const override { return whole_->label(index); }
  std::optional<EncodedSample> encoded(std::int64_t index) const override { return whole_->encoded(index); }
  std::string identity() const override { return whole_->identity(); }

 private:
  std::shared_ptr<const Dataset> whole_;
  ImageShape shape_;
};

struct Header {
  std::string name;
  std::int64_t height = 0;
  std::int64_t width = 0;
};

// Nothing for a file that cannot be read and may be passed over.
std::optional<Header> header_of(const Dataset& dataset, std::int64_t index, OnError on_error) {
  try {
    const std::optional<EncodedSample> encoded = dataset.encoded(index);
    if (!encoded) {
      const at::Tensor image = dataset.sample(index).image;
      return Header{fmt::format("sample {}", index), image.size(1), image.size(2)};
    }
    const std::span file(reinterpret_cast<const std::uint8_t*>(encoded->file.data()), encoded->file.size());
    const EncodedImage image(file, encoded->name, Channels::rgb);
    return Header{encoded->name, image.height(), image.width()};
  } catch (const IoError&) {
    if (on_error == OnError::raise) throw;
    return std::nullopt;
  }
}

std::string to_text(const Header& header) {
  return fmt::format("{} of {} x {} pixels", header.name, header.width, header.height);
}

}  // namespace

OneSize find_one_size(std::shared_ptr<const Dataset> dataset, OnError on_error) {
  const ImageShape shape = dataset->shape();
  if (!shape.is_open() || dataset->pixels() || dataset->size() == 0) return {.dataset = std::move(dataset)};
  std::optional<Header> first;
  for (std::int64_t i = 0; i < dataset->size(); ++i) {
    const std::optional<Header> header = header_of(*dataset, i, on_error);
    if (!header) continue;
    if (!first) first = header;
    if (header->height == first->height && header->width == first->width) continue;
    return {.dataset = nullptr, .first = to_text(*first), .other = to_text(*header)};
  }
  if (!first) fail<IoError>("[data] no image of {} can be read.", dataset->name());
  return {.dataset =
              std::make_shared<Sized>(std::move(dataset), ImageShape{shape.channels, first->height, first->width})};
}

}  // namespace limbeck::data
