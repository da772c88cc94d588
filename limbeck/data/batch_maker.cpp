#include "limbeck/data/batch_maker.h"

#include "limbeck/core/error.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace limbeck::data {
namespace {

// Rethrows the exception under way with `where` before its message, in its own class; it stays nested in the new one.
[[noreturn]] void rethrow_from(const std::string& where) {
  try {
    throw;
  } catch (const InvalidArgument& error) {
    std::throw_with_nested(InvalidArgument(where + error.what()));
  } catch (const Unsupported& error) {
    std::throw_with_nested(Unsupported(where + error.what()));
  } catch (const IoError& error) {
    std::throw_with_nested(IoError(where + error.what()));
  } catch (const InternalError& error) {
    std::throw_with_nested(InternalError(where + error.what()));
  } catch (const std::exception& error) {
    std::throw_with_nested(Error(where + error.what()));
  }
}

// `file`: the sample's, where it is one.
void check_label(std::int64_t label, std::int64_t num_classes, const std::string& file = {}) {
  LIMBECK_CHECK(label >= 0 && label < num_classes, "the label{} must lie in 0..{}, got {}.",
                file.empty() ? std::string() : " of " + file, num_classes - 1, label);
}

// Cuts off what the skipped samples have left empty.
void keep_first(Batch& batch, std::int64_t count) {
  if (count == 0) {
    fail<IoError>("[data] none of the {} samples of a batch can be read; the first, sample {}: {}",
                  batch.skipped.size(), batch.skipped.front().index, batch.skipped.front().reason);
  }
  for (at::Tensor* one : {&batch.x, &batch.y, &batch.index}) *one = one->narrow(0, 0, count);
}

}  // namespace

BatchMaker::BatchMaker(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options)
    : dataset_(std::move(dataset)),
      pixels_(dataset_->pixels()),
      num_classes_(dataset_->num_classes()),
      writer_(options.transforms, dataset_->shape(),
              options.channels_last ? PixelOrder::channels_last : PixelOrder::channels_first),
      seed_(options.seed),
      channels_last_(options.channels_last),
      batch_transforms_(options.batch_transforms),
      decode_scale_(options.decode_scale),
      pin_memory_(options.pin_memory),
      on_error_(options.on_error) {}

Batch BatchMaker::empty_batch(std::int64_t count) const {
  const ImageShape& shape = writer_.output_shape();
  const auto format = channels_last_ ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  const auto integers = at::TensorOptions(at::kLong).pinned_memory(pin_memory_);
  const auto floats = at::TensorOptions(at::kFloat).pinned_memory(pin_memory_);
  return {at::empty({count, shape.channels, shape.height, shape.width}, floats, format), at::empty({count}, integers),
          at::empty({count}, integers)};
}

Batch BatchMaker::make(std::span<const std::int64_t> samples, std::int64_t epoch) const {
  Batch batch = empty_batch(static_cast<std::int64_t>(samples.size()));
  auto* pixels = batch.x.mutable_data_ptr<float>();
  auto* labels = batch.y.mutable_data_ptr<std::int64_t>();
  auto* indices = batch.index.mutable_data_ptr<std::int64_t>();
  std::int64_t count = 0;
  for (const std::int64_t sample : samples) {
    try {
      labels[count] = write_sample({.seed = seed_, .epoch = epoch, .sample = sample},
                                   pixels + count * writer_.output_shape().numel());
      indices[count++] = sample;
    } catch (const IoError& error) {
      if (on_error_ == OnError::raise) rethrow_from(where(sample));
      batch.skipped.push_back({sample, error.what()});
    } catch (const std::exception&) {
      rethrow_from(where(sample));
    }
  }
  if (!batch.skipped.empty()) keep_first(batch, count);
  if (!batch_transforms_.empty() && count > 0) {
    mix_batch(batch, {.seed = seed_, .epoch = epoch, .sample = samples.front()});
  }
  return batch;
}

std::string BatchMaker::where(std::int64_t sample) const {
  return fmt::format("[data] sample {} of {}: ", sample, dataset_->name());
}

std::int64_t BatchMaker::write_sample(const SampleKey& key, float* out) const {
  const ImageShape& shape = writer_.input_shape();
  if (pixels_) {
    const std::int64_t row = pixels_->row(key.sample);
    writer_.write(pixels_->pixels + row * shape.numel(), key, out);
    return pixels_->labels[row];
  }
  if (const auto encoded = dataset_->encoded(key.sample)) return write_encoded(*encoded, key, out);
  const Sample sample = dataset_->sample(key.sample);
  check_label(sample.label, num_classes_);
  writer_.write(sample.image, key, out);
  return sample.label;
}

std::int64_t BatchMaker::write_encoded(const EncodedSample& sample, const SampleKey& key, float* out) const {
  const std::span file(reinterpret_cast<const std::uint8_t*>(sample.file.data()), sample.file.size());
  const Channels channels = writer_.input_shape().channels == 1 ? Channels::gray : Channels::rgb;
  check_label(sample.label, num_classes_, sample.name);
  writer_.write(EncodedImage(file, sample.name, channels), decode_scale_, key, out);
  return sample.label;
}

void BatchMaker::mix_batch(Batch& batch, const SampleKey& first) const {
  const ImageShape& shape = writer_.output_shape();
  const Mixture mixture = draw(batch_transforms_, {shape.height, shape.width}, first);
  mix(mixture, batch.x);
  batch.targets = mixed_targets(batch.y, num_classes_, mixture.lambda);
}

}  // namespace limbeck::data
