// Limbeck's loader as Python holds it.
#pragma once

#include <memory>
#include <utility>

#include "limbeck/data/loader.h"
#include "python/src/bindings.h"

namespace limbeck::python {

/// Ends without the lock: its workers may need the lock to finish a sample.
class UnlockedLoader {
 public:
  UnlockedLoader(std::shared_ptr<const data::Dataset> dataset, data::LoaderOptions options)
      : dataset_(dataset), loader_(std::make_unique<data::Loader>(std::move(dataset), std::move(options))) {}
  ~UnlockedLoader() {
    const py::gil_scoped_release unlocked;
    loader_.reset();
  }
  UnlockedLoader(const UnlockedLoader&) = delete;
  UnlockedLoader& operator=(const UnlockedLoader&) = delete;

  /// Throws InvalidArgument once it is closed.
  data::Loader& get() const;
  /// Ends its workers for good: they must not wait for the lock of an interpreter that has ended. Without the lock.
  void close() { loader_.reset(); }
  /// The first samples as a batch has them, from a loader of their own: this one stays where it is.
  at::Tensor first_images(int64_t count) const;

 private:
  std::shared_ptr<const data::Dataset> dataset_;
  std::unique_ptr<data::Loader> loader_;
};

void bind_loader(py::module_& module);

}  // namespace limbeck::python
