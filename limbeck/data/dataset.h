// What a dataset of labelled images is to Limbeck. Users implement Dataset for data of their own; the loader reads
// through it from several threads. A dataset that lies wholly in memory also hands out its raw pixels, and the loader
// then crops, flips, converts and normalizes straight from them into the batch. One of image files hands out the files,
// and the loader decodes what its transforms need of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace limbeck::data {

/// Channels, height and width of every image of a dataset, in pixels. A height and width of kVaries: each image has its
/// own; the transforms of a loader must then make one size of them.
struct ImageShape {
  static constexpr std::int64_t kVaries = -1;

  std::int64_t channels = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;

  /// Of an open shape there is no such number.
  std::int64_t numel() const { return channels * height * width; }
  bool is_open() const { return height == kVaries || width == kVaries; }
  bool operator==(const ImageShape&) const = default;
};

/// The shape as messages show it: "[3, 32, 32]", or "[3, H, W]" where sizes vary.
std::string to_string(const ImageShape& shape);

/// One labelled image. image: [C, H, W], uint8 in 0..255 or float32 (taken as it is), of any strides: an image decoded
/// from a file is a view of [H, W, C] memory; label: index of the class.
struct Sample {
  at::Tensor image;
  std::int64_t label = 0;
};

/// One labelled image that is still a PNG or JPEG file. file: its bytes; name: what messages call it, such as its path.
struct EncodedSample {
  std::string file;
  std::string name;
  std::int64_t label = 0;
};

/// Raw contents of a dataset that lies in memory; valid as long as the dataset. Sample i is row `rows[i]`, or row i
/// where `rows` is empty. pixels: [num_rows, C, H, W] contiguous; labels: [num_rows].
struct PixelView {
  const std::uint8_t* pixels = nullptr;
  const std::int64_t* labels = nullptr;
  std::span<const std::int64_t> rows;

  std::int64_t row(std::int64_t index) const { return rows.empty() ? index : rows[static_cast<std::size_t>(index)]; }
};

/// Labelled images. All members may be called from several threads at once.
class Dataset {
 public:
  virtual ~Dataset() = default;

  /// What messages and reports call it, such as "fashion-mnist/train".
  virtual std::string name() const = 0;
  /// Number of samples.
  virtual std::int64_t size() const = 0;
  /// Of every image, open where sizes vary.
  virtual ImageShape shape() const = 0;
  /// One name per class; a label is an index into it.
  virtual const std::vector<std::string>& class_names() const = 0;
  /// The sample at `index`, 0 <= index < size(), always the same for the same index. The caller does not write to it.
  virtual Sample sample(std::int64_t index) const = 0;
  /// The label of the sample at `index` alone: counting classes need not decode images.
  virtual std::int64_t label(std::int64_t index) const { return sample(index).label; }
  /// The sample as a file, where the dataset consists of files, else nothing; for all samples or for none. The loader
  /// then decodes it with shape().channels channels (see encoded_image.h), and sample() does the same with the whole.
  virtual std::optional<EncodedSample> encoded(std::int64_t index) const {
    static_cast<void>(index);
    return std::nullopt;
  }
  /// A text that changes when labels or images do, for datasets outside memory: what cached results are filed under.
  virtual std::string identity() const { return name(); }
  /// The raw uint8 contents where they lie in memory, else nothing. Labels must then be valid classes.
  virtual std::optional<PixelView> pixels() const { return std::nullopt; }

  std::int64_t num_classes() const { return static_cast<std::int64_t>(class_names().size()); }
};

/// The samples `rows` of `whole`, in that order, under `name`. Throws InvalidArgument if a row is out of range.
std::shared_ptr<const Dataset> subset(std::shared_ptr<const Dataset> whole, std::vector<std::int64_t> rows,
                                      std::string name);

/// The first `count` samples: calibration sets, quick runs. Throws InvalidArgument if there are fewer.
std::shared_ptr<const Dataset> take(std::shared_ptr<const Dataset> whole, std::int64_t count);

/// `count` samples at equal distances, from the first on; all where there are fewer. Throws InvalidArgument unless
/// count > 0.
std::shared_ptr<const Dataset> spread(std::shared_ptr<const Dataset> whole, std::int64_t count);

/// A dataset cut in two: `val` holds a fixed number of samples that `train` does not have.
struct HeldOut {
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> val;
};

/// Sets `val_size` samples aside, drawn by a fixed permutation of the indices: the same slice in every run, for every
/// seed of training, also where the file is sorted by class. Throws InvalidArgument unless 0 < val_size < size.
HeldOut hold_out(const std::shared_ptr<const Dataset>& whole, std::int64_t val_size);

}  // namespace limbeck::data
