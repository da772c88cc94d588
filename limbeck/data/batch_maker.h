// Makes a batch of given samples: the loader without order and threads. Immutable, so that workers share one.
#pragma once

#include "limbeck/data/files/image_writer.h"
#include "limbeck/data/loader.h"

#include <span>

namespace limbeck::data {

class BatchMaker {
 public:
  BatchMaker(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options);

  /// The batch of `samples` as epoch `epoch` shows them. An error in a sample is rethrown in its own class (as Error if
  /// it is no Error) with the sample's index in the message, unless it is to be skipped.
  Batch make(std::span<const std::int64_t> samples, std::int64_t epoch) const;

  const ImageShape& image_shape() const { return writer_.output_shape(); }

 private:
  Batch empty_batch(std::int64_t count) const;
  std::string where(std::int64_t sample) const;  // the beginning of messages about it
  // Write one sample's image and return its label.
  std::int64_t write_sample(const SampleKey& key, float* out) const;
  std::int64_t write_encoded(const EncodedSample& sample, const SampleKey& key, float* out) const;
  void mix_batch(Batch& batch, const SampleKey& first) const;

  std::shared_ptr<const Dataset> dataset_;
  std::optional<PixelView> pixels_;
  std::int64_t num_classes_;
  ImageWriter writer_;
  std::uint64_t seed_;
  bool channels_last_;
  std::vector<BatchTransform> batch_transforms_;
  DecodeScale decode_scale_;
  bool pin_memory_;
  OnError on_error_;
};

}  // namespace limbeck::data
