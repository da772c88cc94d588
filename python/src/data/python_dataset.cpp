#include "python/src/data/python_dataset.h"

#include <fmt/format.h>

#include <exception>
#include <utility>

#include "limbeck/core/error.h"

namespace limbeck::python {

namespace {

using data::ImageShape;
using data::Sample;

/// Python's exception, which is being handled, as the class that means the same, with itself nested in that; with the
/// lock held.
[[noreturn]] void rethrow(const py::error_already_set& error) {
  if (error.matches(PyExc_KeyboardInterrupt)) throw Interrupted{};
  const auto text = py::str(error.value()).cast<std::string>();
  if (error.matches(PyExc_OSError)) std::throw_with_nested(IoError(text));
  if (error.matches(PyExc_ValueError)) std::throw_with_nested(InvalidArgument(text));
  if (error.matches(PyExc_NotImplementedError)) std::throw_with_nested(Unsupported(text));
  const auto kind = py::str(error.type().attr("__name__")).cast<std::string>();
  std::throw_with_nested(InvalidArgument(fmt::format("{}: {}", kind, text)));
}

class PythonDataset : public data::Dataset {
 public:
  PythonDataset(py::object dataset, std::string name, std::vector<std::string> classes)
      : size_(dataset.attr("size")().cast<int64_t>()),
        name_(std::move(name)),
        classes_(std::move(classes)),
        dataset_(std::move(dataset)) {
    LIMBECK_CHECK(size_ > 0, "[data] the dataset '{}' is empty", name_);
    shape_ = first_shape();
  }

  std::string name() const override { return name_; }
  int64_t size() const override { return size_; }
  ImageShape shape() const override { return shape_; }
  const std::vector<std::string>& class_names() const override { return classes_; }

  Sample sample(int64_t index) const override { return read(index); }

 private:
  Sample read(int64_t index) const {
    const py::gil_scoped_acquire locked;
    try {
      auto [image, label] = dataset_.get().attr("sample")(index).cast<std::pair<at::Tensor, int64_t>>();
      return {.image = std::move(image), .label = label};
    } catch (const py::error_already_set& error) {
      rethrow(error);
    }
  }

  ImageShape first_shape() const {
    const at::Tensor image = read(0).image;
    LIMBECK_CHECK(image.dim() == 3, "[data] an image of '{}' must have the shape [C, H, W], got {} dimensions", name_,
                  image.dim());
    return {.channels = image.size(0), .height = image.size(1), .width = image.size(2)};
  }

  int64_t size_;
  std::string name_;
  std::vector<std::string> classes_;
  ImageShape shape_;
  HeldObject dataset_;
};

}  // namespace

std::shared_ptr<data::Dataset> python_dataset(py::object dataset, const std::string& name,
                                              std::vector<std::string> classes) {
  return std::make_shared<PythonDataset>(std::move(dataset), name, std::move(classes));
}

}  // namespace limbeck::python
