// All of Limbeck's public headers, and its main names in namespace limbeck:
//   namespace lb = limbeck;
//   lb::Model student = lb::load("student.pt2");
#pragma once

#include "limbeck/data/loader.h"
#include "limbeck/data/open_dataset.h"
#include "limbeck/distill/distiller.h"
#include "limbeck/distill/tap_pairs.h"
#include "limbeck/graph/text/text.h"
#include "limbeck/load/load.h"
#include "limbeck/measure/evaluate.h"
#include "limbeck/measure/latency.h"
#include "limbeck/measure/profile.h"
#include "limbeck/model/model.h"
#include "limbeck/recipe/read.h"
#include "limbeck/recipe/run.h"
#include "limbeck/report/comparison.h"
#include "limbeck/train/losses.h"
#include "limbeck/train/optim/torch_optimizer_file.h"
#include "limbeck/train/optim/update_rules.h"
#include "limbeck/train/optimize.h"
#include "limbeck/train/trainer.h"
#include "limbeck/zoo/zoo.h"

namespace limbeck {

using data::open_dataset;
using distill::concat;
using distill::feature_mse;
using distill::kd;
using distill::KdOptions;
using distill::pair;
using distill::TapPairs;
using measure::evaluate;
using measure::profile;
using train::Buffers;
using train::cross_entropy;
using train::frozen_train;
using train::ModelSet;
using train::optimize;
using train::OptimizerRef;
using train::Precision;
using train::Role;

}  // namespace limbeck
