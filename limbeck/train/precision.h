// The arithmetic that a training run asks for.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace limbeck::train {

enum class Precision : uint8_t {
  fp32,
  bf16,  // autocast: convolutions and matrix products in bfloat16, parameters and losses in float32
  fp16,  // the same in float16, with a dynamic loss scale (loss_scaler.h)
};

std::string_view precision_name(Precision precision);
/// Throws InvalidArgument naming the valid ones.
Precision parse_precision(std::string_view name);

/// What autocast casts to: bfloat16 or float16. Not for fp32.
c10::ScalarType autocast_dtype(Precision precision);

/// How this machine computes `precision` on the CPU: natively and by which instructions, or by way of float32.
std::string describe_precision(Precision precision);

}  // namespace limbeck::train
