#include "limbeck/data/memory_dataset.h"

#include "limbeck/core/error.h"
#include "limbeck/core/hash.h"
#include "limbeck/data/stray_label.h"

#include <utility>

namespace limbeck::data {
namespace {

class MemoryDataset final : public Dataset {
 public:
  MemoryDataset(std::string name, at::Tensor images, at::Tensor labels, std::vector<std::string> class_names)
      : name_(std::move(name)),
        images_(std::move(images)),
        labels_(std::move(labels)),
        class_names_(std::move(class_names)) {}

  std::string name() const override { return name_; }
  std::int64_t size() const override { return images_.size(0); }
  ImageShape shape() const override { return {images_.size(1), images_.size(2), images_.size(3)}; }
  const std::vector<std::string>& class_names() const override { return class_names_; }

  Sample sample(std::int64_t index) const override {
    const std::int64_t its_label = label(index);  // refuses a wrong index
    return {images_.select(0, index), its_label};
  }

  std::int64_t label(std::int64_t index) const override {
    LIMBECK_CHECK(index >= 0 && index < size(), "[data] {} has {} samples, no sample {}.", name_, size(), index);
    return labels_.const_data_ptr<std::int64_t>()[index];
  }

  // Bytes are hashed where they are asked for (see fingerprint.h); floats, which have no such view, here.
  std::string identity() const override {
    core::Sha256 hash;
    for (const at::Tensor& one : {images_, labels_}) {
      hash.update(std::span(static_cast<const std::byte*>(one.const_data_ptr()), one.nbytes()));
    }
    return hash.finish_hex();
  }

  std::optional<PixelView> pixels() const override {
    if (images_.scalar_type() != at::kByte) return std::nullopt;
    return PixelView{images_.const_data_ptr<std::uint8_t>(), labels_.const_data_ptr<std::int64_t>(), {}};
  }

 private:
  std::string name_;
  at::Tensor images_;
  at::Tensor labels_;
  std::vector<std::string> class_names_;
};

void check_labels(const std::string& name, const at::Tensor& labels, std::int64_t num_classes) {
  const std::optional<StrayLabel> stray = find_stray_label(labels, num_classes);
  LIMBECK_CHECK(!stray, "[data] {}: the label of sample {} must lie in 0..{}, got {}. Give one class name per class.",
                name, stray->index, num_classes - 1, stray->label);
}

}  // namespace

std::shared_ptr<const Dataset> memory_dataset(std::string name, const at::Tensor& images, const at::Tensor& labels,
                                              std::vector<std::string> class_names) {
  LIMBECK_CHECK(images.defined() && images.dim() == 4 && images.device().is_cpu() &&
                    (images.scalar_type() == at::kByte || images.scalar_type() == at::kFloat),
                "[data] {}: images must be a uint8 or float32 tensor [N, C, H, W] on the CPU.", name);
  LIMBECK_CHECK(labels.defined() && labels.dim() == 1 && labels.device().is_cpu() && labels.scalar_type() == at::kLong,
                "[data] {}: labels must be an int64 tensor [N] on the CPU.", name);
  LIMBECK_CHECK(images.size(0) == labels.size(0), "[data] {}: there must be one label per image, got {} and {}.", name,
                labels.size(0), images.size(0));
  at::Tensor dense_labels = labels.contiguous();
  check_labels(name, dense_labels, static_cast<std::int64_t>(class_names.size()));
  return std::make_shared<MemoryDataset>(std::move(name), images.contiguous(), std::move(dense_labels),
                                         std::move(class_names));
}

}  // namespace limbeck::data
