// The verbs. Each returns an exit code and throws limbeck's errors: 0 done, 1 failure, 2 wrong usage, 3 done but a goal
// was missed, 130 interrupted after saving.
#pragma once

#include "cli/arguments.h"

namespace limbeck::cli {

inline constexpr int kDone = 0;
inline constexpr int kFailure = 1;
inline constexpr int kWrongUsage = 2;
inline constexpr int kInterrupted = 130;

int run_command(const RunArguments& arguments);
int run_command(const StageArguments& arguments);
int run_command(const InferArguments& arguments);
int run_command(const ProfileArguments& arguments);
int run_command(const CaptureArguments& arguments);
int run_command(const ShowArguments& arguments);
int run_command(const DoctorArguments& arguments);
int run_command(const DataArguments& arguments);

}  // namespace limbeck::cli
