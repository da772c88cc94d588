#include "limbeck/distill/teacher.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/files/safetensors.h"
#include "limbeck/graph/weights/tensors.h"
#include "limbeck/model/device.h"

namespace limbeck::distill {

namespace fs = std::filesystem;

namespace {

class LiveTeacher : public Teacher {
 public:
  LiveTeacher(const Model& model, std::vector<std::string> taps, FeatureTransform transform)
      : model_(model.with_own_modes()),
        device_(device_of(model)),
        taps_(std::move(taps)),
        transform_(std::move(transform)) {}

  TeacherOutputs operator()(const data::Batch& batch) override {
    const at::NoGradGuard no_grad;
    const Outputs outputs =
        model_.forward(batch.x.to(device_), {.taps = taps_, .state_updates = StateUpdates::discard});
    TeacherOutputs result{.logits = outputs.logits(), .features = {}};
    for (std::size_t i = 0; i < outputs.taps.size(); ++i) {
      result.features.push_back(transform_ ? transform_(i, outputs.taps[i].tensor) : outputs.taps[i].tensor);
    }
    return result;
  }

 private:
  Model model_;
  at::Device device_;
  std::vector<std::string> taps_;
  FeatureTransform transform_;
};

class CachedTeacher : public Teacher {
 public:
  explicit CachedTeacher(TeacherOutputs all) : all_(std::move(all)) {}

  TeacherOutputs operator()(const data::Batch& batch) override {
    const auto rows = [&](const at::Tensor& all) { return all.index_select(0, batch.index).to(batch.x.device()); };
    TeacherOutputs result{.logits = rows(all_.logits), .features = {}};
    for (const at::Tensor& feature : all_.features) result.features.push_back(rows(feature));
    return result;
  }

 private:
  TeacherOutputs all_;  // one row a sample
};

std::string feature_name(std::size_t tap) { return fmt::format("feature{}", tap); }

std::unique_ptr<Teacher> read_cache(const CacheOptions& options, std::size_t num_taps) {
  if (!fs::exists(options.path)) return nullptr;
  const core::SafetensorsFile file = core::SafetensorsFile::open(options.path);
  const auto key = file.metadata().find("key");
  if (key == file.metadata().end() || key->second != options.key) return nullptr;
  TeacherOutputs all{.logits = weights::tensor_of(file.at("logits"), file.mapping()), .features = {}};
  for (std::size_t tap = 0; tap < num_taps; ++tap) {
    all.features.push_back(weights::tensor_of(file.at(feature_name(tap)), file.mapping()));
  }
  return std::make_unique<CachedTeacher>(std::move(all));
}

void put_rows(at::Tensor& all, const at::Tensor& rows, int64_t start, int64_t samples) {
  if (!all.defined()) {
    std::vector<int64_t> sizes = rows.sizes().vec();
    sizes.front() = samples;
    all = at::empty(sizes, rows.options().device(at::kCPU));
  }
  all.narrow(0, start, rows.size(0)).copy_(rows);
}

/// Outputs of the whole dataset in its order; nullopt when stopped.
std::optional<TeacherOutputs> run_over(Teacher& teacher, data::Loader& loader, const CacheOptions& options) {
  const int64_t samples = loader.dataset().size();
  TeacherOutputs all;
  int64_t done = 0;
  while (const std::optional<data::Batch> batch = loader.next()) {
    if (core::is_stop_requested(options.stop)) return std::nullopt;
    const TeacherOutputs outputs = teacher(*batch);
    all.features.resize(outputs.features.size());
    put_rows(all.logits, outputs.logits, done, samples);
    for (std::size_t i = 0; i < outputs.features.size(); ++i)
      put_rows(all.features[i], outputs.features[i], done, samples);
    done += batch->size();
    if (options.on_progress) options.on_progress(done, samples);
  }
  return all;
}

void write_cache(const TeacherOutputs& all, const CacheOptions& options) {
  std::vector<weights::NamedTensor> tensors{{"logits", all.logits}};
  for (std::size_t i = 0; i < all.features.size(); ++i) tensors.push_back({feature_name(i), all.features[i]});
  weights::write_tensors(options.path, tensors, {{"key", options.key}});
}

}  // namespace

bool has_random(const std::vector<data::Transform>& transforms) {
  return std::any_of(transforms.begin(), transforms.end(), data::is_random);
}

int64_t cache_bytes(const TeacherOutputs& one_sample, int64_t samples) {
  auto bytes = static_cast<int64_t>(one_sample.logits.nbytes());
  for (const at::Tensor& feature : one_sample.features) bytes += static_cast<int64_t>(feature.nbytes());
  return bytes / one_sample.logits.size(0) * samples;
}

std::unique_ptr<Teacher> live_teacher(const Model& model, std::vector<std::string> taps, FeatureTransform transform) {
  return std::make_unique<LiveTeacher>(model, std::move(taps), std::move(transform));
}

std::unique_ptr<Teacher> cached_teacher(const Model& model, std::vector<std::string> taps, FeatureTransform transform,
                                        std::shared_ptr<const data::Dataset> dataset,
                                        const std::vector<data::Transform>& transforms, const CacheOptions& options) {
  LIMBECK_CHECK(
      !has_random(transforms),
      "[distill] a cached teacher needs inputs that do not change: the data is augmented. Use a live teacher.");
  if (std::unique_ptr<Teacher> cached = read_cache(options, taps.size())) return cached;
  data::Loader loader(dataset, {.batch_size = options.batch_size, .transforms = transforms});
  const std::unique_ptr<Teacher> live = live_teacher(model, std::move(taps), std::move(transform));
  std::optional<TeacherOutputs> all = run_over(*live, loader, options);
  if (!all) return nullptr;
  write_cache(*all, options);
  return std::make_unique<CachedTeacher>(*std::move(all));
}

}  // namespace limbeck::distill
