// What is proved of one model of the corpus. Each check returns one line of findings, empty when all is as Python's.
#pragma once

#include <string>
#include <vector>

#include "tests/corpus/corpus.h"

namespace limbeck::testing {

struct CheckResult {
  std::string name;     // "eval", "step", "pair", "batch 1", "decomposed"
  std::string verdict;  // "bit-equal", "3.1e-7", "refused: ..."
  bool passed = true;
};

/// eval.pt2: outputs at every batch size of the reference, bit for bit.
CheckResult check_eval(const CorpusModel& corpus);
/// train_norandom.pt2 (train.pt2 where nothing is random): one SGD step; outputs, gradients, buffers and parameters.
CheckResult check_step(const CorpusModel& corpus);
/// train.pt2 in train mode with its randomness, from Python's seed.
CheckResult check_random(const CorpusModel& corpus);
/// pair.pt2: eval outputs, random train outputs, eval again; without randomness also the step.
CheckResult check_pair(const CorpusModel& corpus);
/// eval_b1.pt2: runs at 1, 7 and 33 with eager's outputs, or is refused with the fix.
CheckResult check_batch_1(const CorpusModel& corpus);
/// eval_decomposed.pt2 and train_decomposed.pt2, within 1e-5 * (max|b| + 1e-3 * largest gradient).
CheckResult check_decomposed(const CorpusModel& corpus);
/// pair.pt2 with stochastic depth on: drop rates within three standard deviations.
CheckResult check_drop_rates(const CorpusModel& corpus);

/// All of them, in that order.
std::vector<CheckResult> check_model(const CorpusModel& corpus);

}  // namespace limbeck::testing
