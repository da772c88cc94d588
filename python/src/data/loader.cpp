#include "python/src/data/loader.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/data/preprocessing.h"
#include "python/src/data/transforms.h"

namespace limbeck::python {

namespace {

/// "raise" or "skip".
data::OnError parse_on_error(const std::string& text) {
  LIMBECK_CHECK(text == "raise" || text == "skip", "[data] on_error must be 'raise' or 'skip', got '{}'", text);
  return text == "skip" ? data::OnError::skip : data::OnError::raise;
}

/// (images, labels), labels being the targets where samples are mixed; nothing at the end of an epoch.
std::optional<std::pair<at::Tensor, at::Tensor>> next_batch(UnlockedLoader& loader) {
  std::optional<data::Batch> batch = loader.get().next();
  if (!batch) return std::nullopt;
  return std::pair(batch->x, batch->targets.defined() ? batch->targets : batch->y);
}

/// What an application does to an image, where the loader's list alone says so: for images of bytes, with nothing
/// drawn. A list without a normalization divides by 255.
std::optional<std::string> preprocessing_of(UnlockedLoader& loader) {
  const data::Dataset& dataset = loader.get().dataset();
  std::vector<data::Transform> transforms = loader.get().options().transforms;
  if (std::any_of(transforms.begin(), transforms.end(), [](const auto& one) { return data::is_random(one); }))
    return std::nullopt;
  if (dataset.shape().channels != 1 && dataset.shape().channels != 3) return std::nullopt;
  if (dataset.sample(0).image.scalar_type() != at::kByte) return std::nullopt;
  if (transforms.empty() || !std::holds_alternative<data::Normalize>(transforms.back()))
    transforms.emplace_back(data::Normalize{.mean = {0}, .stddev = {1}});
  return data::to_json(data::make_preprocessing(std::move(transforms), dataset.shape()));
}

void bind_options(py::module_& module) {
  using Options = data::LoaderOptions;
  py::class_<Options>(module, "LoaderOptions")
      .def(py::init())
      .def_readwrite("batch_size", &Options::batch_size)
      .def_readwrite("shuffle", &Options::shuffle)
      .def_readwrite("drop_last", &Options::drop_last)
      .def_readwrite("channels_last", &Options::channels_last)
      .def_readwrite("pin_memory", &Options::pin_memory)
      .def_readwrite("workers", &Options::num_workers)
      .def_readwrite("prefetch", &Options::prefetch)
      .def_readwrite("seed", &Options::seed)
      .def("set_on_error", [](Options& options, const std::string& text) { options.on_error = parse_on_error(text); })
      .def("set_scaled_decoding",
           [](Options& options, bool is_scaled) {
             options.decode_scale = is_scaled ? data::DecodeScale::scaled : data::DecodeScale::exact;
           })
      .def("set_transforms",
           [](Options& options, const std::vector<AnyTransform>& list) { options.transforms = values_of(list); })
      .def("set_batch_transforms", [](Options& options, const std::vector<AnyBatchTransform>& list) {
        options.batch_transforms = values_of(list);
      });
}

}  // namespace

data::Loader& UnlockedLoader::get() const {
  LIMBECK_CHECK(loader_ != nullptr, "[data] this loader was closed, as all are when the interpreter ends");
  return *loader_;
}

at::Tensor UnlockedLoader::first_images(int64_t count) const {
  data::LoaderOptions options = get().options();
  options.batch_size = std::min(count, dataset_->size());
  options.shuffle = options.drop_last = options.pin_memory = false;
  options.num_workers = 0;
  options.batch_transforms.clear();
  return data::Loader(dataset_, std::move(options)).next()->x;
}

void bind_loader(py::module_& module) {
  bind_options(module);
  py::class_<UnlockedLoader, std::shared_ptr<UnlockedLoader>>(module, "Loader")
      .def(py::init([](std::shared_ptr<data::Dataset> dataset, const data::LoaderOptions& options) {
             return std::make_shared<UnlockedLoader>(std::move(dataset), options);
           }),
           py::arg("dataset"), py::arg("options"), Unlocked())
      .def("next", &next_batch, Unlocked())
      .def("close", &UnlockedLoader::close, Unlocked())
      .def("batches_per_epoch", [](UnlockedLoader& loader) { return loader.get().batches_per_epoch(); })
      .def("samples_per_epoch", [](UnlockedLoader& loader) { return loader.get().samples_per_epoch(); })
      .def("num_skipped", [](UnlockedLoader& loader) { return loader.get().num_skipped(); })
      .def("class_names", [](UnlockedLoader& loader) { return loader.get().dataset().class_names(); })
      .def("first_images", &UnlockedLoader::first_images, py::arg("count"), Unlocked())
      .def("preprocessing", &preprocessing_of, Unlocked())
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
