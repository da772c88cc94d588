#include "limbeck/core/stop.h"

#include <gtest/gtest.h>

#include <csignal>

namespace limbeck::core {
namespace {

StopFlag signalled;

TEST(Stop, IsRaisedAndCleared) {
  StopFlag flag;
  EXPECT_FALSE(is_stop_requested(nullptr));
  EXPECT_FALSE(is_stop_requested(&flag));
  flag.request();
  EXPECT_TRUE(is_stop_requested(&flag));
  flag.clear();
  EXPECT_FALSE(flag.is_requested());
}

TEST(Stop, IsRaisedByASignalHandler) {
  const auto before = std::signal(SIGUSR1, [](int) { signalled.request(); });
  std::raise(SIGUSR1);
  std::signal(SIGUSR1, before);
  EXPECT_TRUE(signalled.is_requested());
}

}  // namespace
}  // namespace limbeck::core
