#include "tests/cli/tiny.h"

#include "limbeck/core/error.h"
#include "tests/cli/process.h"

namespace limbeck::testing {

const std::filesystem::path& tiny_trained_model() {
  static const core::TemporaryDirectory folder;
  static const std::filesystem::path file = [] {
    const Finished done = run_limbeck({"train", kTinyModel, "--data", kTinyData, "--data.batch_size", "16", "--epochs",
                                       "3", "--optimizer.lr", "0.1", "-o", folder.path().string()});
    LIMBECK_CHECK(done.exit_code == 0, "limbeck train gave {}: {}", done.exit_code, done.err);
    return folder.path() / "model" / "model.lmb";
  }();
  return file;
}

}  // namespace limbeck::testing
