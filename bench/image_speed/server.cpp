// The C++ side of bench/image_speed/image_speed.py: decodes, crops, resizes, flips and normalizes a folder of images on
// one thread when told to, so that rounds of torchvision and of Limbeck alternate on a machine whose speed drifts.
//
// Commands on standard input, one a line; answers on standard output, one a line:
//   load FOLDER SIDE        -> the number of images: reads the files of a folder of folders; results have SIDE pixels a
//                              side
//   choices                 -> "PATH TOP LEFT HEIGHT WIDTH FLIP" for each image, separated by tabs: what is drawn
//   check FILE exact|scaled -> "ok": writes the results as safetensors, "images" [N, 3, SIDE, SIDE]
//   time exact|scaled       -> milliseconds for all images
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <sstream>

#include "bench/server.h"
#include "limbeck/core/error.h"
#include "limbeck/core/files/safetensors.h"
#include "limbeck/data/files/image_folder.h"
#include "limbeck/data/files/image_writer.h"

namespace {

namespace data = limbeck::data;

constexpr data::HorizontalFlip kFlip{.probability = 0.5};

class Server {
 public:
  /// One command's answer.
  std::string answer(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "load") return load(words);
    if (command == "choices") return choices();
    if (command == "check") return check(words);
    if (command == "time") return time(words);
    limbeck::fail<limbeck::InvalidArgument>("unknown command '{}'", line);
  }

 private:
  std::string load(std::istream& words) {
    std::string folder;
    words >> folder >> side_;
    crop_ = {.size = {side_}};
    const auto dataset = data::open_image_folder(folder, "images");
    samples_.clear();
    for (std::int64_t i = 0; i < dataset->size(); ++i) samples_.push_back(*dataset->encoded(i));
    writer_ = std::make_unique<data::ImageWriter>(
        std::vector<data::Transform>{crop_, kFlip, data::Normalize{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}}},
        dataset->shape(), data::PixelOrder::channels_first);
    return std::to_string(samples_.size());
  }

  static data::SampleKey key_of(std::size_t index) { return {.seed = 1, .sample = static_cast<std::int64_t>(index)}; }

  data::EncodedImage image(std::size_t index) const {
    const data::EncodedSample& sample = samples_[index];
    const std::span file(reinterpret_cast<const std::uint8_t*>(sample.file.data()), sample.file.size());
    return {file, sample.name, data::Channels::rgb};
  }

  std::string choices() const {
    std::string result;
    for (std::size_t i = 0; i < samples_.size(); ++i) {
      const data::EncodedImage one = image(i);
      const data::Box box = draw(crop_, {one.height(), one.width()}, key_of(i), 0);
      result += fmt::format("{}{} {} {} {} {} {:d}", i > 0 ? "\t" : "", samples_[i].name, box.top, box.left, box.height,
                            box.width, draw(kFlip, key_of(i), 1));
    }
    return result;
  }

  void write(std::size_t index, data::DecodeScale scale, float* out) const {
    writer_->write(image(index), scale, key_of(index), out);
  }

  static data::DecodeScale parse_scale(std::istream& words) {
    std::string text;
    words >> text;
    return text == "scaled" ? data::DecodeScale::scaled : data::DecodeScale::exact;
  }

  std::string check(std::istream& words) const {
    std::string file;
    words >> file;
    const data::DecodeScale scale = parse_scale(words);
    const std::vector<std::int64_t> shape{static_cast<std::int64_t>(samples_.size()), 3, side_, side_};
    at::Tensor images = at::empty(shape, at::kFloat);
    for (std::size_t i = 0; i < samples_.size(); ++i) {
      write(i, scale, images[static_cast<std::int64_t>(i)].mutable_data_ptr<float>());
    }
    const std::vector<limbeck::core::TensorToWrite> tensors{
        {"images",
         limbeck::core::DType::f32,
         shape,
         {static_cast<const std::byte*>(images.const_data_ptr()), images.nbytes()}}};
    limbeck::core::write_safetensors(file, tensors);
    return "ok";
  }

  std::string time(std::istream& words) {
    const data::DecodeScale scale = parse_scale(words);
    return limbeck::bench::time_rounds(1, [&] { run(scale); });
  }

  void run(data::DecodeScale scale) {
    for (std::size_t i = 0; i < samples_.size(); ++i) {
      const at::Tensor result = at::empty({3, side_, side_}, at::kFloat);
      write(i, scale, result.mutable_data_ptr<float>());
    }
  }

  std::int64_t side_ = 0;
  data::RandomResizedCrop crop_;
  std::vector<data::EncodedSample> samples_;
  std::unique_ptr<data::ImageWriter> writer_;
};

}  // namespace

int main() {
  Server server;
  return limbeck::bench::serve([&](const std::string& line) { return server.answer(line); });
}
