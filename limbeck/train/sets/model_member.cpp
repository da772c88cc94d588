#include "limbeck/train/sets/model_member.h"

#include <fmt/format.h>

#include <cstdint>
#include <string_view>

#include "limbeck/model/precision/low_precision_ops.h"

namespace limbeck::train {

namespace {

RunOptions options_of(const MemberRun& how) {
  return {.taps = how.taps, .state_updates = how.state_updates, .mode = how.mode, .fusion = how.fusion};
}

void add_fusions(MemberNotes& notes, const passes::FusionReport& report) {
  for (const auto& [what, times] : report.fused) notes.fused.push_back(fmt::format("{} times {}", times, what));
  notes.left.insert(notes.left.end(), report.left.begin(), report.left.end());
}

void add_casts(MemberNotes& notes, const graph::Graph& graph, Precision precision) {
  int64_t cast = 0;
  for (const graph::NodeId id : graph.order()) cast += is_low_precision_op(*graph.node(id).op) ? 1 : 0;
  const std::string_view name = precision_name(precision);
  if (cast == 0) {
    notes.left.push_back(fmt::format("no convolution and no matrix product: nothing runs in {}", name));
    return;
  }
  notes.cast.push_back(fmt::format("{} convolutions and matrix products run in {}", cast, name));
  notes.cast.emplace_back("their weights are cast once between two changes; the parameters themselves stay float32");
  notes.left.emplace_back("normalisations, losses and the parameters stay float32, as torch.autocast has it");
}

}  // namespace

MemberNotes ModelMember::notes(Precision precision) const {
  MemberNotes notes;
  if (precision != Precision::fp32) add_casts(notes, model_.graph(), precision);
  if (prepared_.fusion != Fusion::none) add_fusions(notes, model_.fusion_report(options_of(prepared_)));
  return notes;
}

Outputs ModelMember::run(const Inputs& inputs, const MemberRun& how) { return model_.forward(inputs, options_of(how)); }

}  // namespace limbeck::train
