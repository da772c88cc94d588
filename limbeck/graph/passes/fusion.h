// What passes that fuse for training share: which nodes they may touch, and where they say what they did.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

/// A fused graph belongs to one kind of run: with these modes, and with these values seen from outside.
struct FusionScope {
  std::function<bool(graph::ScopeId)> is_training;  // whether the scope runs in train mode
  std::vector<graph::ValueId> kept{};               // tapped values: never fused away
};

struct FusionReport {
  std::map<std::string, int> fused{};  // "batch_norm + relu" -> how often
  std::vector<std::string> left{};     // "layer1.0.bn1: its statistics are frozen"
  bool empty() const { return fused.empty(); }
};

}  // namespace limbeck::passes
