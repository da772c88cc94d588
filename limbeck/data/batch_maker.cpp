#include "limbeck/data/batch_maker.h"

#include "limbeck/core/error.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <utility>

namespace limbeck::data {
namespace {

// Rethrows the exception under way with `where` before its message, in its own class.
[[noreturn]] void rethrow_from(const std::string& where) {
  try {
    throw;
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(where + error.what());
  } catch (const Unsupported& error) {
    throw Unsupported(where + error.what());
  } catch (const IoError& error) {
    throw IoError(where + error.what());
  } catch (const InternalError& error) {
    throw InternalError(where + error.what());
  } catch (const std::exception& error) {
    throw Error(where + error.what());
  }
}

}  // namespace

BatchMaker::BatchMaker(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options)
    : dataset_(std::move(dataset)),
      pixels_(dataset_->pixels()),
      num_classes_(dataset_->num_classes()),
      writer_(options.transforms, dataset_->shape(),
              options.channels_last ? PixelOrder::channels_last : PixelOrder::channels_first),
      seed_(options.seed),
      channels_last_(options.channels_last) {}

Batch BatchMaker::make(std::span<const std::int64_t> samples, std::int64_t epoch) const {
  const auto count = static_cast<std::int64_t>(samples.size());
  const ImageShape& shape = writer_.output_shape();
  const auto format = channels_last_ ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  Batch batch{at::empty({count, shape.channels, shape.height, shape.width}, at::kFloat, format),
              at::empty({count}, at::kLong), at::empty({count}, at::kLong)};
  auto* pixels = batch.x.mutable_data_ptr<float>();
  auto* labels = batch.y.mutable_data_ptr<std::int64_t>();
  std::copy(samples.begin(), samples.end(), batch.index.mutable_data_ptr<std::int64_t>());
  for (const std::int64_t sample : samples) {
    try {
      *labels++ = write_sample({.seed = seed_, .epoch = epoch, .sample = sample}, pixels);
    } catch (const std::exception&) {
      rethrow_from(fmt::format("[data] sample {} of {}: ", sample, dataset_->name()));
    }
    pixels += shape.numel();
  }
  return batch;
}

std::int64_t BatchMaker::write_sample(const SampleKey& key, float* out) const {
  const ImageShape& shape = writer_.input_shape();
  if (pixels_) {
    const std::int64_t row = pixels_->row(key.sample);
    writer_.write(pixels_->pixels + row * shape.numel(), key, out);
    return pixels_->labels[row];
  }
  const Sample sample = dataset_->sample(key.sample);
  const at::Tensor& image = sample.image;
  const bool has_shape = image.defined() && image.device().is_cpu() &&
                         image.sizes() == at::IntArrayRef{shape.channels, shape.height, shape.width};
  LIMBECK_CHECK(has_shape, "the image must be a tensor {} on the CPU.", to_string(shape));
  LIMBECK_CHECK(image.scalar_type() == at::kByte || image.scalar_type() == at::kFloat,
                "the image must be uint8 or float32, got {}.", c10::toString(image.scalar_type()));
  LIMBECK_CHECK(sample.label >= 0 && sample.label < num_classes_, "the label must lie in 0..{}, got {}.",
                num_classes_ - 1, sample.label);
  const at::Tensor dense = image.contiguous();
  if (dense.scalar_type() == at::kByte) {
    writer_.write(dense.const_data_ptr<std::uint8_t>(), key, out);
  } else {
    writer_.write(dense.const_data_ptr<float>(), key, out);
  }
  return sample.label;
}

}  // namespace limbeck::data
