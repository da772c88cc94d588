#include "python/src/data.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/data/loader.h"
#include "limbeck/data/open_dataset.h"
#include "limbeck/data/transforms.h"
#include "python/src/bindings.h"
#include "python/src/python_dataset.h"

namespace limbeck::python {

namespace {

/// A transform as one class of Python's; pybind11 would take the variant itself apart.
struct AnyTransform {
  data::Transform value;
};

std::vector<data::Transform> values_of(const std::vector<AnyTransform>& transforms) {
  std::vector<data::Transform> values;
  for (const AnyTransform& transform : transforms) values.push_back(transform.value);
  return values;
}

/// The loader as Python holds it. It ends without the lock: its workers may need the lock to finish a sample.
class UnlockedLoader {
 public:
  UnlockedLoader(std::shared_ptr<const data::Dataset> dataset, data::LoaderOptions options)
      : loader_(std::make_unique<data::Loader>(std::move(dataset), std::move(options))) {}
  ~UnlockedLoader() {
    const py::gil_scoped_release unlocked;
    loader_.reset();
  }
  UnlockedLoader(const UnlockedLoader&) = delete;
  UnlockedLoader& operator=(const UnlockedLoader&) = delete;

  data::Loader& get() { return *loader_; }

 private:
  std::unique_ptr<data::Loader> loader_;
};

std::shared_ptr<const data::Dataset> open(const std::string& spec, const std::string& split, int64_t val_size) {
  return data::open_dataset(spec, {.split = data::parse_split(split), .val_size = val_size, .path = std::nullopt});
}

std::unique_ptr<UnlockedLoader> make_loader(std::shared_ptr<const data::Dataset> dataset, int64_t batch_size,
                                            bool shuffle, bool drop_last, bool channels_last, int num_workers,
                                            uint64_t seed, const std::vector<AnyTransform>& transforms,
                                            bool skip_unreadable) {
  data::LoaderOptions options;
  options.batch_size = batch_size;
  options.shuffle = shuffle;
  options.drop_last = drop_last;
  options.channels_last = channels_last;
  options.num_workers = num_workers;
  options.seed = seed;
  options.transforms = values_of(transforms);
  options.on_error = skip_unreadable ? data::OnError::skip : data::OnError::raise;
  return std::make_unique<UnlockedLoader>(std::move(dataset), std::move(options));
}

/// (images, labels), or nothing at the end of an epoch.
std::optional<std::pair<at::Tensor, at::Tensor>> next_batch(UnlockedLoader& loader) {
  std::optional<data::Batch> batch = loader.get().next();
  if (!batch) return std::nullopt;
  return std::pair(batch->x, batch->y);
}

void bind_transforms(py::module_& module) {
  py::class_<AnyTransform>(module, "Transform");
  module.def("resize", [](std::vector<int64_t> size, int64_t max_size) {
    return AnyTransform{data::Resize{.size = std::move(size), .max_size = max_size}};
  });
  module.def("center_crop",
             [](std::vector<int64_t> size) { return AnyTransform{data::CenterCrop{.size = std::move(size)}}; });
  module.def("random_crop", [](std::vector<int64_t> size, int64_t padding) {
    return AnyTransform{data::RandomCrop{.padding = padding, .size = std::move(size)}};
  });
  module.def(
      "random_resized_crop", [](std::vector<int64_t> size, std::vector<double> scale, std::vector<double> ratio) {
        return AnyTransform(
            data::RandomResizedCrop{.size = std::move(size), .scale = std::move(scale), .ratio = std::move(ratio)});
      });
  module.def("horizontal_flip",
             [](double probability) { return AnyTransform{data::HorizontalFlip{.probability = probability}}; });
  module.def("normalize", [](std::vector<float> mean, std::vector<float> stddev) {
    return AnyTransform{data::Normalize{.mean = std::move(mean), .stddev = std::move(stddev)}};
  });
  module.def("trivial_augment", [] { return AnyTransform{data::TrivialAugmentWide{}}; });
}

}  // namespace

void bind_data(py::module_& module) {
  bind_transforms(module);
  py::class_<data::Dataset, std::shared_ptr<data::Dataset>>(module, "Dataset")
      .def("name", &data::Dataset::name)
      .def("size", &data::Dataset::size)
      .def("class_names", &data::Dataset::class_names);
  module.def(
      "open_dataset",
      [](const std::string& spec, const std::string& split, int64_t val_size) {
        return std::const_pointer_cast<data::Dataset>(open(spec, split, val_size));
      },
      Unlocked());
  module.def("python_dataset", &python_dataset, py::arg("dataset"), py::arg("name"), py::arg("classes"));
  py::class_<UnlockedLoader>(module, "Loader")
      .def(py::init(&make_loader), py::arg("dataset"), py::arg("batch_size"), py::arg("shuffle"), py::arg("drop_last"),
           py::arg("channels_last"), py::arg("num_workers"), py::arg("seed"), py::arg("transforms"),
           py::arg("skip_unreadable"), Unlocked())
      .def("next", &next_batch, Unlocked())
      .def("batches_per_epoch", [](UnlockedLoader& loader) { return loader.get().batches_per_epoch(); })
      .def("state",
           [](UnlockedLoader& loader) {
             const data::LoaderState state = loader.get().state();
             return std::pair(state.epoch, state.step);
           })
      .def(
          "seek",
          [](UnlockedLoader& loader, int64_t epoch, int64_t step) {
            loader.get().seek({.epoch = epoch, .step = step});
          },
          Unlocked());
}

}  // namespace limbeck::python
