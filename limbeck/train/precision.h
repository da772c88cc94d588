// The arithmetic that a training run asks for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace limbeck::train {

enum class Precision : uint8_t {
  fp32,
  bf16,  // autocast: convolutions and matrix products in bfloat16, parameters and losses in float32
};

std::string_view precision_name(Precision precision);
/// Throws InvalidArgument naming the valid ones.
Precision parse_precision(std::string_view name);

}  // namespace limbeck::train
