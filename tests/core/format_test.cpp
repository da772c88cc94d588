#include "limbeck/core/format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace limbeck::core {
namespace {

TEST(Format, Thousands) {
  EXPECT_EQ(format_thousands(0), "0");
  EXPECT_EQ(format_thousands(999), "999");
  EXPECT_EQ(format_thousands(1000), "1,000");
  EXPECT_EQ(format_thousands(11689512), "11,689,512");
  EXPECT_EQ(format_thousands(-123456), "-123,456");
  EXPECT_EQ(format_thousands(INT64_MIN), "-9,223,372,036,854,775,808");
}

TEST(Format, Si) {
  EXPECT_EQ(format_si(0), "0");
  EXPECT_EQ(format_si(999), "999");
  EXPECT_EQ(format_si(999.7), "1.00 k");
  EXPECT_EQ(format_si(1000), "1.00 k");
  EXPECT_EQ(format_si(19810), "19.8 k");
  EXPECT_EQ(format_si(308074), "308 k");
  EXPECT_EQ(format_si(999'600), "1.00 M");
  EXPECT_EQ(format_si(4.09e9), "4.09 G");
  EXPECT_EQ(format_si(0.25), "0.25");
  EXPECT_EQ(format_si(-1500), "-1.50 k");
  EXPECT_EQ(format_si(NAN), "nan");
}

TEST(Format, Bytes) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes(1u << 30), "1.00 GiB");
  EXPECT_EQ(format_bytes((1u << 20) - 1), "1.00 MiB");
  EXPECT_EQ(format_bytes(UINT64_MAX), "16.0 EiB");
}

TEST(Format, Percent) {
  EXPECT_EQ(format_percent(0.9134), "91.34 %");
  EXPECT_EQ(format_percent(1, 0), "100 %");
}

TEST(Format, Duration) {
  EXPECT_EQ(format_duration(0), "0.00 ns");
  EXPECT_EQ(format_duration(12.3e-6), "12.3 µs");
  EXPECT_EQ(format_duration(0.045), "45.0 ms");
  EXPECT_EQ(format_duration(0.99999), "1.00 s");
  EXPECT_EQ(format_duration(3.2), "3.20 s");
  EXPECT_EQ(format_duration(59.96), "1 min 0 s");
  EXPECT_EQ(format_duration(75), "1 min 15 s");
  EXPECT_EQ(format_duration(3599.6), "1 h 0 min");
  EXPECT_EQ(format_duration(7260), "2 h 1 min");
  EXPECT_EQ(format_duration(-2), "-2.00 s");
  EXPECT_EQ(format_duration(INFINITY), "unknown");
}

}  // namespace
}  // namespace limbeck::core
