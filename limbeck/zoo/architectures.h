// Internal to limbeck/zoo: one function per architecture, with its defaults and its checks.
#pragma once

#include "limbeck/zoo/zoo.h"

namespace limbeck::zoo {

graph::Graph make_resnet_basic(const ZooOptions& options);
graph::Graph make_cifar_resnet(const ZooOptions& options);
graph::Graph make_wide_resnet(const ZooOptions& options);
graph::Graph make_resnet18(const ZooOptions& options);
graph::Graph make_resnet50(const ZooOptions& options);
graph::Graph make_mobilenet_v2(const ZooOptions& options);
graph::Graph make_efficientnet_b0(const ZooOptions& options);

}  // namespace limbeck::zoo
