#include "limbeck/graph/capture/capture.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/graph/capture/decomposed/decomposed.h"
#include "limbeck/graph/capture/decomposed/drop_path.h"
#include "limbeck/graph/capture/functional/functionalize.h"
#include "limbeck/graph/capture/lower.h"
#include "limbeck/graph/capture/pair/merge.h"
#include "limbeck/graph/capture/pair/mode.h"
#include "limbeck/graph/capture/pt2/archive.h"
#include "limbeck/graph/passes/batch_axis.h"
#include "limbeck/graph/passes/fold_constants.h"
#include "limbeck/graph/verify.h"

namespace limbeck::capture {

using graph::Graph;
using graph::Mode;

namespace {

Export read_export(const Archive& archive, const std::string& model) {
  Export source = lower(archive.program(model), archive.weights(model), archive.constants(model));
  const std::size_t drop_paths = recognise_drop_paths(source);
  if (drop_paths > 0) source.notes.push_back(fmt::format("stochastic depth recognised {} times", drop_paths));
  Export result = functionalize(source);
  if (result.is_decomposed) raise_decomposed(result);
  return result;
}

bool has_symbols(const Graph& graph) {
  for (const graph::InputSpec& input : graph.inputs) {
    const graph::TensorType* type = input.type.tensor();
    if (type == nullptr || !type->sizes) continue;
    for (const graph::IntExpr& size : *type->sizes) {
      if (!size.is_constant()) return true;
    }
  }
  return false;
}

/// Frees a baked-in batch size where that proves right; says what came of it.
void free_batch(Export& source) {
  if (has_symbols(source.graph)) return;
  const passes::BatchAxisResult result = passes::free_batch_axis(source.graph);
  if (result.is_freed) {
    source.notes.push_back(
        "the export had a fixed batch size: it was freed, and proved on a batch of three against single runs");
  } else if (!result.reason.empty()) {
    source.graph.metadata[graph::kFixedBatchKey] = result.reason;
  }
}

/// What holds for every captured graph, however it was read.
Graph finish(Export source, const CaptureOptions& options, const std::string& kind) {
  if (options.free_batch) free_batch(source);
  Graph& graph = source.graph;
  const auto is_lifted = [&](const graph::Parameter& parameter) { return source.lifted.count(parameter.name) != 0; };
  passes::fold_constants(graph, {.is_constant = is_lifted});
  graph::number_scope_outputs(graph);
  graph.metadata[kSourceKey] += ", " + kind;
  if (!graph.scope(0).type.empty()) graph.metadata[kNameKey] = graph.scope(0).type;
  if (!source.notes.empty()) graph.metadata[kNotesKey] = fmt::format("{}", fmt::join(source.notes, "\n"));
  graph::verify(graph, "after capture");
  return std::move(graph);
}

Graph capture_single(const Archive& archive, const std::string& model, const CaptureOptions& options) {
  Export source = read_export(archive, model);
  const ModeGuess guess = guess_mode(source.graph);
  const Mode mode = options.mode.value_or(guess.mode);
  LIMBECK_CHECK(mode == Mode::train || mode == Mode::eval,
                "[capture] an export is in train or in eval mode, not in both");
  const bool is_contradicted = mode == Mode::train ? guess.eval_votes > 0 : guess.train_votes > 0;
  if (!options.mode || is_contradicted) {
    source.notes.push_back(fmt::format("taken for an export in {} mode{}: {} mode arguments say train, {} say eval",
                                       graph::mode_name(mode), options.mode ? ", as asked" : "", guess.train_votes,
                                       guess.eval_votes));
  }
  make_single(source, mode);
  return finish(std::move(source), options, std::string(graph::mode_name(mode)) + " export");
}

Graph capture_both(const Archive& eval, const std::string& eval_model, const Archive& train,
                   const std::string& train_model, const CaptureOptions& options) {
  const Export in_eval = read_export(eval, eval_model), in_train = read_export(train, train_model);
  const ModeGuess first = guess_mode(in_eval.graph), second = guess_mode(in_train.graph);
  LIMBECK_CHECK(first.mode == Mode::eval || second.mode == Mode::train || second.eval_votes == 0,
                "[capture] the eval export says train ({} of {} mode arguments) and the train export says eval ({} of "
                "{}): exchange them",
                first.train_votes, first.train_votes + first.eval_votes, second.eval_votes,
                second.train_votes + second.eval_votes);
  Export merged = merge(in_eval, in_train);
  return finish(std::move(merged), options, "train and eval exports");
}

std::string only_model(const Archive& archive) {
  LIMBECK_CHECK(archive.models().size() == 1, "[capture] {} holds {} exports ({}); name a file with one",
                archive.where(), archive.models().size(), fmt::format("{}", fmt::join(archive.models(), ", ")));
  return archive.models().front();
}

}  // namespace

Graph capture(const std::string& path, const CaptureOptions& options) {
  const Archive archive = Archive::open(path);
  const auto has = [&](const std::string& name) {
    return std::find(archive.models().begin(), archive.models().end(), name) != archive.models().end();
  };
  LIMBECK_CHECK(options.model.empty() || has(options.model), "[capture] {} has no export '{}', only: {}", path,
                options.model, fmt::format("{}", fmt::join(archive.models(), ", ")));
  if (!options.model.empty()) return capture_single(archive, options.model, options);
  if (archive.models().size() == 1) return capture_single(archive, archive.models().front(), options);
  if (archive.models().size() == 2 && has("eval") && has("train"))
    return capture_both(archive, "eval", archive, "train", options);
  fail<InvalidArgument>("[capture] {} holds the exports {}; choose one", path,
                        fmt::format("{}", fmt::join(archive.models(), ", ")));
}

Graph capture_pair(const std::string& eval_path, const std::string& train_path, const CaptureOptions& options) {
  const Archive eval = Archive::open(eval_path), train = Archive::open(train_path);
  return capture_both(eval, only_model(eval), train, only_model(train), options);
}

}  // namespace limbeck::capture
