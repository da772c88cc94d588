// Teachers: where a student's targets come from, batch by batch: from a live model, or from a cache of its outputs.
// A teacher runs in eval mode without gradients and keeps its parameters and buffers to the bit.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "limbeck/core/stop.h"
#include "limbeck/data/loader.h"
#include "limbeck/model/model.h"

namespace limbeck::distill {

/// What a teacher says of one batch: logits [B, C], and one feature per tap asked for.
struct TeacherOutputs {
  at::Tensor logits;
  std::vector<at::Tensor> features;
};

/// Prepares a feature before it is kept or compared (pooling); index of the tap, the feature.
using FeatureTransform = std::function<at::Tensor(std::size_t, const at::Tensor&)>;

class Teacher {
 public:
  virtual ~Teacher() = default;
  virtual TeacherOutputs operator()(const data::Batch& batch) = 0;
};

/// Runs the model on each batch. The model is cloned as far as its mode goes: the user's handle keeps its own.
std::unique_ptr<Teacher> live_teacher(const Model& model, std::vector<std::string> taps, FeatureTransform transform);

struct CacheOptions {
  std::filesystem::path path;  // of the safetensors file
  std::string key;             // hash of all that the outputs depend on; a file with another key is made anew
  int64_t batch_size = 256;
  const core::StopFlag* stop = nullptr;
  std::function<void(int64_t done, int64_t all)> on_progress{};
};

/// Outputs for every sample of the dataset, computed once and kept on disk; a batch takes its rows by sample index.
/// Only right where nothing is augmented: `transforms` must hold no random one (InvalidArgument). Null when stopped.
std::unique_ptr<Teacher> cached_teacher(const Model& model, std::vector<std::string> taps, FeatureTransform transform,
                                        std::shared_ptr<const data::Dataset> dataset,
                                        const std::vector<data::Transform>& transforms, const CacheOptions& options);

/// Bytes that the cache of such a teacher would take, from one sample's outputs.
int64_t cache_bytes(const TeacherOutputs& one_sample, int64_t samples);

/// True where any transform draws random numbers.
bool has_random(const std::vector<data::Transform>& transforms);

}  // namespace limbeck::distill
